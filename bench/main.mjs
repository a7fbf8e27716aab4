// npm run -s bench -- NAME [--json]: measures Mayfly beside the bare process and what rivals this machine has.
import { parseArgs } from 'node:util'

const names = ['start', 'stop', 'exec', 'scale', 'redis', 'parallel', 'address', 'network', 'ready', 'postgres-clone', 'pull', 'suite', 'build', 'cli', 'import']
const { values, positionals: [name] } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean' } } })
if (!names.includes(name)) {
  process.stderr.write(`usage: npm run -s bench -- ${names.join('|')} [--json]\n`)
  process.exit(2)
}

const result = await measured(name)
if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
else {
  print(result.name, result)
  for (const one of result.series ?? []) print(`${result.name}, ${one.case}`, one)
}
// The library's supervisor would end with this process anyway.
process.exit(0)

async function measured(which) {
  if (which === 'import') return (await import('./import.mjs')).importing()
  if (which === 'pull') return (await import('./pull.mjs')).pull()
  const { makeSetting } = await import('./setting.mjs')
  const setting = await makeSetting()
  try {
    return await (await import(`./${which}.mjs`))[which.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())](setting)
  } finally {
    await setting.close()
  }
}

function print(title, { mayfly, floor, rivals, ratio }) {
  process.stdout.write(`${title} (${result.unit})\n`)
  for (const [who, figures] of Object.entries({ mayfly, floor, ...rivals })) {
    const text = figures.absent ?? `p50 ${figures.p50}  p90 ${figures.p90}  p99 ${figures.p99}  n ${figures.n}${ratio[who] === undefined ? '' : `  ratio ${ratio[who]}`}`
    process.stdout.write(`  ${who.padEnd(22)} ${text}\n`)
  }
}
