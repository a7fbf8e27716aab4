import { currentRun, describeUnasked, exportedVariables, RUN_VARIABLE, setVariables } from '@mayfly/core/worker'
import { beforeAll, beforeEach, expect, inject } from 'vitest'
import { explain } from './explain.js'
import { openFile } from './file.js'
import { finallyAll } from './finally.js'
import type {} from './provided.js'

// Runs before every test file, also where files share their modules. Variables are assigned at once, without awaiting:
// set-up files may run side by side.
// The environment is a worker's from its start; watching, the run may be another since.
const run = currentRun({ [RUN_VARIABLE]: inject('mayflyRun') as string | undefined }) ?? currentRun()
const path = expect.getState().testPath
if (path !== undefined) {
  const slot = Number(process.env['VITEST_POOL_ID'] ?? 1)
  const before = setVariables(run === undefined ? {} : exportedVariables(run, path, slot))
  const file = openFile(run, path, slot)
  beforeAll(() => void (file.begun = true))
  // Registered first, so run after every other tear-down of the file.
  finallyAll(async () => {
    setVariables(before)
    await file.close()
  })
  beforeEach(async ({ task, onTestFinished }) => {
    file.running.add(task)
    // Whatever the test's own tear-down does, and after it.
    onTestFinished(async () => {
      const ended = await file.opened?.endTest({ failed: task.result?.state === 'fail' })
      await explain(task.result, file.held(), ended, () => describeUnasked(file.known, () => file.session))
      file.running.delete(task)
      // What several at the same time share is as it was when the last of them is over.
      if (file.running.size === 0) await file.opened?.mend()
    }, 0)
    await file.opened?.beginTest({ concurrent: task.concurrent === true })
  }, 0)
}
