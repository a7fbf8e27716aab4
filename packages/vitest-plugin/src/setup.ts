import { currentRun, exportedVariables } from '@mayfly/core/plugin'
import { expect } from 'vitest'

// Assigned at once, without awaiting: set-up files may run side by side.
const run = currentRun()
const file = expect.getState().testPath
if (run !== undefined && file !== undefined) {
  Object.assign(process.env, exportedVariables(run, file, Number(process.env['VITEST_POOL_ID'] ?? 1)))
}
