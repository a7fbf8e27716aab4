const { withMayfly } = require('@mayfly/jest-env')

module.exports = withMayfly({ testMatch: ['**/*.test.js'] })
