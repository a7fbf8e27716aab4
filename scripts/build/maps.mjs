// What the bundler makes into CommonJS has maps that lead from a file to itself, by its place on the machine that built it: a test
// runner that follows them shows users a line of ours instead of theirs. Such files are read as they are: node scripts/build/maps.mjs DIST
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const dist = process.argv[2]
for (const name of readdirSync(dist).filter((file) => file.endsWith('.cjs'))) {
  const path = join(dist, name)
  writeFileSync(path, readFileSync(path, 'utf8').replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n'))
  rmSync(`${path}.map`, { force: true })
}
