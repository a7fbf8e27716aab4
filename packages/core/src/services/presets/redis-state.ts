import { inContainer } from './tools.js'
import type { Databases, StateKeeping } from './types.js'

/** Kept outside of the server: tests say FLUSHALL. */
const KEPT = '/var/lib/mayfly'

/** Writes commands that bring all keys of the chosen database back, in the protocol's own form. */
const COLLECT = `
local out = {}
local function say(...)
  local words = {...}
  out[#out + 1] = '*' .. #words .. '\\r\\n'
  for _, word in ipairs(words) do out[#out + 1] = '$' .. #word .. '\\r\\n' .. word .. '\\r\\n' end
end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  say('RESTORE', key, tostring(math.max(left, 0)), redis.call('DUMP', key))
end
return table.concat(out)`

/**
 * Redis and its fork: every key by DUMP in a file beside the server, brought back by RESTORE. [redis-cli --pipe]
 * Scripts, functions and settings stay as they are.
 */
export function redisState(program: 'redis-cli' | 'valkey-cli'): StateKeeping {
  return {
    keep: async ({ container }) => {
      await inContainer(container, `
        set -e; umask 077; mkdir -p ${KEPT}; rm -f ${KEPT}/*.resp
        for n in $(${program} info keyspace | sed -n 's/^db\\([0-9]*\\):.*/\\1/p'); do
          ${program} -n $n --raw eval "$0" 0 > ${KEPT}/$n.resp
        done`, { words: [COLLECT] })
    },
    restore: async ({ container }, database) => {
      const load = (from: string, to: string): string => `{ ${program} -n ${to} --pipe < ${from} | grep -q 'errors: 0' || { echo 'not all keys came back'; exit 1; }; }`
      await inContainer(container, database === undefined
        ? `${program} flushall sync > /dev/null && for f in ${KEPT}/*.resp; do [ ! -s $f ] || { n=\${f##*/}; ${load('$f', '${n%.resp}')}; }; done`
        : `${program} -n ${database} flushdb sync > /dev/null && { [ ! -s ${KEPT}/0.resp ] || ${load(`${KEPT}/0.resp`, database)}; }`)
    },
  }
}

/** Logical databases: number 0 is as it was prepared, and nobody's. */
export function redisDatabases(program: 'redis-cli' | 'valkey-cli'): Databases {
  return {
    name: (_, nth) => String(nth),
    inside: (env, database) => ({ ...env, MAYFLY_DATABASE: database }),
    // What an earlier one left there goes by it, too.
    create: (server, database) => redisState(program).restore(server, database),
    drop: () => Promise.resolve(),
    command: [program.replace('cli', 'server'), '--databases', '1024'],
  }
}
