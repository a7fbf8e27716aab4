const { defineConfig, redis } = require('@mayfly/core')

module.exports = defineConfig({ services: { store: redis({ scope: 'worker', exports: { STORE_URL: store => store.url } }) } })
