const { withMayfly } = require('@mayfly/jest-env')

module.exports = withMayfly({ displayName: 'shop' })
