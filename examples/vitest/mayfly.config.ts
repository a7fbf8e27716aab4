import { defineConfig, postgres } from '@mayfly/core'

const config = defineConfig({
  services: {
    db: postgres({ scope: 'worker', exports: { DATABASE_URL: db => db.url } }),
  },
})
export default config

declare module '@mayfly/core' {
  interface Register {
    config: typeof config
  }
}
