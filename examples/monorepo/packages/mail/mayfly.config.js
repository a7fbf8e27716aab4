const { defineConfig, httpd } = require('@mayfly/core')

// The same name as in the other package: a name belongs to its configuration.
module.exports = defineConfig({ services: { store: httpd({ exports: { STORE_URL: store => store.url } }) } })
