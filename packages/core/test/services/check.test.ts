import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/services/config.js'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'mf-check-')))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Services as they come from presets, without importing the package: here it is not installed. */
const HEAD = `const service = (image, options = {}) => ({ image, preset: /^(redis|postgres|httpd|rabbitmq)/.exec(image)?.[1], options })
export default {
  services: {
`

test.each([
  ['a scope', 'db: service("redis:7", { scope: "forever" })', 4, 'invalid scope "forever": allowed is \'run\', \'worker\', \'file\', \'test\''],
  ['a reset', 'web: service("httpd"),\n    db: service("redis:7", {\n      reset: "always",\n    })', 6, 'invalid reset "always": allowed is \'never\', \'file\', \'test\''],
  ['a reset of what cannot be', 'web: service("httpd", { scope: "worker", reset: "file" })', 4, '"web" cannot be reset'],
  ['a reset of what all share', 'db: service("redis:7", { scope: "run", reset: "file" })', 4, 'has scope run'],
  ['an isolation', 'web: service("httpd", { isolation: "database" })', 4, '"web" cannot be isolated by database'],
  ['an option with a typo', 'db: service("redis:7", { scop: "file" })', 4, 'There is no option "scop"'],
  ['an option of run()', 'db: service("redis:7", { memory: "lots" })', 4, 'Invalid memory'],
  ['exports', 'db: service("redis:7", { exports: { A: "x" } })', 4, 'allowed is functions by the variable\'s name'],
  ['an external address', 'db: service("redis:7", { external: "nowhere" })', 4, 'invalid external "nowhere": allowed is an address such as postgres://'],
  ['a need that ends earlier', 'db: service("redis:7"),\n    app: service("own:1", { scope: "worker", needs: { db: service("redis:7") } })', 5, '"app" has scope worker and needs "db" of scope file, which ends earlier'],
  ['no service', 'db: "redis"', 4, '"db" is no service'],
])('%s: file, line and what is allowed', async (what, text, line, message) => {
  const path = join(root, `${what.replaceAll(/\W/g, '-')}.config.mjs`)
  writeFileSync(path, `${HEAD}    ${text}\n  },\n}\n`)
  const error = await loadConfig(path).then(() => undefined, (reason: unknown) => reason as Error & { code: string })
  expect(error?.code).toBe('ERR_MAYFLY_CONFIG_INVALID')
  expect(error?.message).toContain(`${path}:${String(line)}: `)
  expect(error?.message).toContain(message)
})

test('an option with a typo has a suggestion', async () => {
  const path = join(root, 'typo.config.mjs')
  writeFileSync(path, `${HEAD}    db: service("redis:7", { isolaton: "database" })\n  },\n}\n`)
  await expect(loadConfig(path)).rejects.toMatchObject({ hint: 'Did you mean "isolation"?' })
})

test('what the configuration throws says where', async () => {
  const path = join(root, 'throws.config.mjs')
  writeFileSync(path, 'const a = 1\n\nthrow new Error("not today")\nexport default { services: {} }\n')
  await expect(loadConfig(path)).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONFIG_INVALID', message: `Cannot load ${path}: line 3: not today` })
})
