import { isMayflyError } from '../../errors.js'
import { inContainer } from './tools.js'
import type { Databases, Environment, Server, StateKeeping } from './types.js'

type Program = 'mariadb' | 'mysql'

const KEPT = '/var/lib/mayfly'
/** Seconds for a table that somebody else has locked. */
const PATIENCE = 1
const LOCKED = /ERROR (1205|1213|4031)\b|Lock wait timeout/

/**
 * MySQL and its fork, by their own client and dump program: tables whose rows or counters changed are emptied and filled
 * again; after a change of the schema all come back by their definitions. The database stays, and clients in it.
 */
export function mysqlState(program: Program, prefix: string): StateKeeping {
  return {
    keep: async server => await keep({ ...server, program, prefix }),
    restore: async (server, database) => {
      const at: At = { ...server, program, prefix }
      const name = database ?? mainOf(at)
      if (name === '') return
      try {
        await restore(at, name)
      } catch (error) {
        if (!isMayflyError(error) || !LOCKED.test(error.message)) throw error
        // Sessions in the middle of a transaction hold what has to be restored; those at rest do not.
        const open = await query(at, 'SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID();')
        await query(at, open.split('\n').filter(id => /^\d+$/.test(id)).map(id => `KILL ${id};`).join('\n'))
        await restore(at, name)
      }
    },
  }
}

/** Filled from what was kept: the server has no templates. */
export function mysqlDatabases(program: Program, prefix: string): Databases {
  const of = (server: Server): At => ({ ...server, program, prefix })
  return {
    name: (env, nth) => `${mainOf({ env, prefix })}_${String(nth)}`,
    inside: (env, database) => ({ ...env, [`${prefix}_DATABASE`]: database }),
    create: async (server, database) => {
      const user = read({ env: server.env, prefix }, 'USER')
      const grant = user === undefined || user === 'root' ? '' : `GRANT ALL ON ${quoted(database)}.* TO ${literal(user)}@'%';`
      await query(of(server), `CREATE DATABASE ${quoted(database)};\n${grant}`)
      await source(of(server), database, 'whole.sql')
    },
    drop: async (server, database) => {
      const clients = await query(of(server), `SELECT id FROM information_schema.processlist WHERE db = ${literal(database)};`)
      await query(of(server), [...clients.split('\n').filter(id => /^\d+$/.test(id)).map(id => `KILL ${id};`), `DROP DATABASE IF EXISTS ${quoted(database)};`].join('\n'), '--force')
    },
  }
}

interface At extends Server {
  readonly program: Program
  readonly prefix: string
}

async function keep(at: At): Promise<void> {
  const database = mainOf(at)
  if (database === '') return
  const dump = `${at.program === 'mysql' ? 'mysqldump' : 'mariadb-dump'} -uroot --skip-comments --hex-blob --single-transaction`
  await inContainer(at.container, `rm -rf ${KEPT}; mkdir -p ${KEPT} && cd ${KEPT} && ${dump} --routines --triggers --events "$0" > whole.sql`, { words: [database], env: login(at) })
  const now = await stateOf(at, database)
  const tables = tablesOf(now)
  await inContainer(at.container, `cd ${KEPT} && cat > state && n=0 && for t in "$@"; do n=$((n+1)); ${dump} --no-create-info --skip-triggers --complete-insert --skip-add-locks "$0" "$t" > $n.sql || exit 1; done`, {
    words: [database, ...tables], env: login(at), input: now,
  })
}

async function restore(at: At, database: string): Promise<void> {
  const kept = (await inContainer(at.container, `cat ${KEPT}/state 2> /dev/null || echo none`)).trimEnd()
  const now = (await stateOf(at, database)).trimEnd()
  if (now === kept) return
  const [then, current] = [sectionsOf(kept), sectionsOf(now)]
  if (then.schema !== current.schema) return await rebuild(at, database)
  const names = [...then.tables.keys()]
  const changed = names.filter(name => then.tables.get(name) !== current.tables.get(name))
  // Triggers would fire for the rows that come back.
  const triggers = await query(at, `SELECT 1 FROM information_schema.triggers WHERE trigger_schema = ${literal(database)} AND event_object_table IN (${changed.map(literal).join(', ')}) LIMIT 1;`)
  if (triggers !== '') return await rebuild(at, database)
  const files = changed.map(name => `TRUNCATE TABLE ${quoted(name)};\nSOURCE ${KEPT}/${String(names.indexOf(name) + 1)}.sql;\n${counterOf(name, then.tables.get(name) ?? '')}`)
  await query(at, `SET SESSION lock_wait_timeout = ${String(PATIENCE)}, SESSION innodb_lock_wait_timeout = ${String(PATIENCE)}, FOREIGN_KEY_CHECKS = 0, UNIQUE_CHECKS = 0;\n${files.join('\n')}`, `--database=${database}`)
}

async function rebuild(at: At, database: string): Promise<void> {
  const all = await query(at, `SELECT CONCAT('DROP ', IF(table_type = 'VIEW', 'VIEW', 'TABLE'), ' \`', REPLACE(table_name, '\`', '\`\`'), '\`;') FROM information_schema.tables WHERE table_schema = ${literal(database)};
SELECT CONCAT('DROP ', routine_type, ' \`', REPLACE(routine_name, '\`', '\`\`'), '\`;') FROM information_schema.routines WHERE routine_schema = ${literal(database)};
SELECT CONCAT('DROP EVENT \`', REPLACE(event_name, '\`', '\`\`'), '\`;') FROM information_schema.events WHERE event_schema = ${literal(database)};`)
  await query(at, `SET SESSION lock_wait_timeout = ${String(PATIENCE)}, FOREIGN_KEY_CHECKS = 0;\n${all}`, `--database=${database}`)
  await source(at, database, 'whole.sql')
}

/** Definitions, then a line per table with its checksum and its counter. */
async function stateOf(at: At, database: string): Promise<string> {
  const here = literal(database)
  const definitions = await query(at, `${at.program === 'mysql' ? 'SET SESSION information_schema_stats_expiry = 0;' : ''}
SELECT 'column', table_name, ordinal_position, column_name, column_type, is_nullable, column_default, extra, collation_name FROM information_schema.columns WHERE table_schema = ${here} ORDER BY 2, 3;
SELECT 'index', table_name, index_name, seq_in_index, column_name, non_unique FROM information_schema.statistics WHERE table_schema = ${here} ORDER BY 2, 3, 4;
SELECT 'key', table_name, constraint_name, constraint_type FROM information_schema.table_constraints WHERE table_schema = ${here} ORDER BY 2, 3;
SELECT 'view', table_name, MD5(view_definition) FROM information_schema.views WHERE table_schema = ${here} ORDER BY 2;
SELECT 'trigger', trigger_name, event_object_table, MD5(action_statement) FROM information_schema.triggers WHERE trigger_schema = ${here} ORDER BY 2;
SELECT 'routine', routine_name, routine_type, MD5(routine_definition) FROM information_schema.routines WHERE routine_schema = ${here} ORDER BY 2;
SELECT 'event', event_name, MD5(event_definition) FROM information_schema.events WHERE event_schema = ${here} ORDER BY 2;
SELECT 'table', COALESCE(auto_increment, 0), table_name FROM information_schema.tables WHERE table_schema = ${here} AND table_type = 'BASE TABLE' ORDER BY 3;`)
  const tables = tablesOf(definitions)
  if (tables.length === 0) return definitions
  const sums = await query(at, `CHECKSUM TABLE ${tables.map(quoted).join(', ')};`, `--database=${database}`)
  return `${definitions.trimEnd()}\n${sums.split('\n').filter(line => line !== '').map((line, nth) => `sum\t${line.slice(line.lastIndexOf('\t') + 1)}\t${tables[nth] ?? ''}`).join('\n')}\n`
}

function tablesOf(state: string): readonly string[] {
  return state.split('\n').filter(line => line.startsWith('table\t')).map(line => line.split('\t').slice(2).join('\t'))
}

function sectionsOf(state: string): { readonly schema: string; readonly tables: ReadonlyMap<string, string> } {
  const tables = new Map<string, string>()
  const rest = state.split('\n').filter(line => {
    const [kind = '', value = '', ...name] = line.split('\t')
    if (kind !== 'table' && kind !== 'sum') return true
    tables.set(name.join('\t'), `${tables.get(name.join('\t')) ?? ''} ${value}`)
    return false
  })
  return { schema: [...rest, ...tables.keys()].join('\n'), tables }
}

/** Beyond the rows there are: a test may have counted further and taken its rows away. */
function counterOf(table: string, state: string): string {
  const [, counter = '0'] = state.split(' ')
  return counter === '0' ? '' : `ALTER TABLE ${quoted(table)} AUTO_INCREMENT = ${counter};`
}

async function query(at: At, text: string, option = '--skip-column-names'): Promise<string> {
  if (text.trim() === '') return ''
  return await inContainer(at.container, `exec ${at.program} -uroot --batch --raw --skip-column-names "$0"`, { words: [option], env: login(at), input: text })
}

async function source(at: At, database: string, file: string): Promise<void> {
  await inContainer(at.container, `exec ${at.program} -uroot "$0" < ${KEPT}/${file}`, { words: [database], env: login(at) })
}

/** In the environment: a password on the command line is everybody's. */
function login(at: Pick<At, 'env' | 'prefix'>): Record<string, string> {
  return { MYSQL_PWD: read(at, 'ROOT_PASSWORD') ?? '' }
}

function mainOf(at: Pick<At, 'env' | 'prefix'>): string {
  return read(at, 'DATABASE') ?? ''
}

function read({ env, prefix }: { readonly env: Environment; readonly prefix: string }, name: string): string | undefined {
  return env[`${prefix}_${name}`] ?? env[`MYSQL_${name}`]
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll('\'', '\'\'')}'`
}
