import { defineConfig, postgres } from '@mayfly/core'

const config = defineConfig({
  services: {
    db: postgres('postgres:17', {
      exports: { DATABASE_URL: db => db.url },
      // Once for all files, workers and later runs, until a migration changes.
      prepare: { inputs: ['migrations/*.sql', 'migrate.js'], run: (_, { sh }) => sh`node migrate.js` },
    }),
  },
})
export default config

declare module '@mayfly/core' {
  interface Register {
    config: typeof config
  }
}
