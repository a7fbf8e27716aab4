import { dirname } from 'node:path'

const root = dirname(dirname(import.meta.dirname))

/** Lines that depend on the machine, or on how soon a log was read: Redis listens before it says so, a pull is told of after a second. */
const CHANCE = /# WARNING|Ready to accept connections|"GET \/ HTTP|^mayfly: pulling /

/** Output without what differs from one run, machine or build to the next: times, ids, addresses, places, others' frames. */
export function plain(output: string): string {
  return blocks(output
    .replaceAll(root, '<root>')
    .replace(/\u001b\[[\d;]*m/g, '')
    .replace(/mayfly-test-\w+/g, '<scratch>')
    .replace(/\bmayfly-[0-9a-f]{8,}\b/g, 'mayfly-<id>')
    .replace(/\b198\.\d+\.\d+\.\d+\b/g, '<address>')
    .replace(/\b127\.0\.0\.1:\d+/g, '127.0.0.1:<port>')
    // Servers' own clocks and versions.
    .replace(/\w{3} \w{3} \d+ ([\d:.]+) \d{4}/g, '<time>')
    .replace(/\d+\/\w{3}\/\d{4}:[\d:]+ \+0000/g, '<time>')
    .replace(/signal-handler \(\d+\)/g, 'signal-handler (<time>)')
    .replace(/((?:Apache\/|Redis version=)[\d.]+)/g, (text) => text.replace(/[\d.]+$/, '<version>'))
    .replace(/\d+ \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}/g, '<time>')
    .replace(/\b\d\d:\d\d:\d\d(\.\d+)?\b/g, '<time>')
    .replace(/\b[\d.]+ ?m?s\b(?!\w)/g, '<duration>')
    // Jest has none for what took no time, and more where it remembers.
    .replace(/ \(<duration>\)$|, estimated <duration>$/gm, '')
    .replace(/\([\d.]+ MiB\)/g, '(<size>)')
    // What the network says of a name that nobody has.
    .replace(/\((?:ENOTFOUND|EAI_AGAIN)\)/g, '(<unknown>)')
    // What the store had before is none of a test's business.
    .replace(/, \d+ pulled \(<size>\)|^(?: +|Containers: )\d+ pulled \(<size>\)\n/gm, '')
    .replace(/v\d+\.\d+\.\d+/g, '<version>')
    .split('\n')
    .filter((line) => !/^\s*(at|❯) .*(node_modules|dist|node:|\.tsbuild|<anonymous>\)$)/.test(line) && !CHANCE.test(line))
    .map((line) => line.trimEnd())
    .join('\n'))
}

/** Jest's files in the order of their names: their own is that of their sizes and past times. */
function blocks(output: string): string {
  const parts = output.split(/^(?=(?:FAIL|PASS) \S+$|Test Suites: |Summary of all )/m)
  const files = parts.filter((part) => /^(FAIL|PASS) /.test(part)).sort()
  return parts.map((part) => (/^(FAIL|PASS) /.test(part) ? files.shift() ?? '' : part)).join('')
}
