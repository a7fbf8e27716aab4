import { isMayflyError } from '../../errors.js'
import { openPostgres, type PostgresSession } from './postgres-session.js'
import { inContainer, LONGEST } from './tools.js'
import type { Databases, Environment, Server, StateKeeping } from './types.js'

/** Milliseconds for a table that somebody else has locked. */
const PATIENCE = 1000
/** What the restoring script says of a changed schema. */
const CHANGED = 'mayfly: the schema is another'
/** PostgreSQL's words for a lock that was not to be had. */
const LOCKED = /canceling statement due to lock timeout|deadlock detected/

/** Tables of the user's own, partitions among them. */
const TABLES = `SELECT c.oid, format('%I.%I', s.nspname, c.relname) AS name, md5(format('%I.%I', s.nspname, c.relname)) AS file
  FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND s.nspname !~ '^pg_' AND s.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`

/** One text that is another one after any change of a definition: catalogs' rows have the transaction that wrote them. */
const SCHEMA = `(WITH own AS (SELECT oid, nspname, xmin FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
  class AS (SELECT c.* FROM pg_class c JOIN own ON own.oid = c.relnamespace)
  SELECT md5(string_agg(fact, ',' ORDER BY fact)) FROM (
    SELECT 'n' || oid || ' ' || xmin AS fact FROM own
    UNION ALL SELECT 'c' || concat_ws(' ', oid, relname, relkind, relowner, relrowsecurity, reloptions, relacl) FROM class
    UNION ALL SELECT 'a' || concat_ws(' ', attrelid, attnum, a.xmin) FROM pg_attribute a JOIN class ON class.oid = attrelid
    UNION ALL SELECT 'd' || concat_ws(' ', d.oid, d.xmin) FROM pg_attrdef d JOIN class ON class.oid = adrelid
    UNION ALL SELECT 'k' || concat_ws(' ', k.oid, k.xmin) FROM pg_constraint k JOIN own ON own.oid = connamespace
    UNION ALL SELECT 't' || concat_ws(' ', g.oid, g.xmin) FROM pg_trigger g JOIN class ON class.oid = tgrelid
    UNION ALL SELECT 'r' || concat_ws(' ', r.oid, r.xmin) FROM pg_rewrite r JOIN class ON class.oid = ev_class
    UNION ALL SELECT 'o' || concat_ws(' ', p.oid, p.xmin) FROM pg_policy p JOIN class ON class.oid = polrelid
    UNION ALL SELECT 'f' || concat_ws(' ', f.oid, f.xmin) FROM pg_proc f JOIN own ON own.oid = pronamespace
    UNION ALL SELECT 'y' || concat_ws(' ', y.oid, y.xmin) FROM pg_type y JOIN own ON own.oid = typnamespace
    UNION ALL SELECT 'e' || concat_ws(' ', e.oid, e.xmin) FROM pg_enum e
    UNION ALL SELECT 'x' || concat_ws(' ', x.oid, x.xmin) FROM pg_extension x) facts)`

/** Where the server may write: paths of COPY are absolute. */
const PLACE = 'current_setting(\'data_directory\') || \'/mayfly/\''

/** Rows and sequences of a database into files beside it, and the transaction after which something is a change. */
const KEEP = `
DO $mayfly$
DECLARE t record; place text := ${PLACE} || :'shelf' || '/'; rows jsonb := '{}'; sequences jsonb := '{}'; n bigint; last bigint; called boolean;
BEGIN
  FOR t IN ${TABLES} LOOP
    EXECUTE format('COPY %s TO %L', t.name, place || t.file);
    GET DIAGNOSTICS n = ROW_COUNT;
    rows := rows || jsonb_build_object(t.name, n);
  END LOOP;
  FOR t IN SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences LOOP
    EXECUTE format('SELECT last_value, is_called FROM %s', t.name) INTO last, called;
    sequences := sequences || jsonb_build_object(t.name, jsonb_build_array(last, called));
  END LOOP;
  EXECUTE format('COPY (SELECT %L) TO %L', jsonb_build_object('rows', rows, 'sequences', sequences), place || 'kept');
  EXECUTE format('COPY (SELECT %L) TO %L', jsonb_build_object('schema', ${SCHEMA}, 'since', txid_current() % 4294967296,
    'next', (txid_current() + 1) % 4294967296, 'objects', (SELECT count(*) FROM pg_largeobject_metadata)), place || :'mark');
END $mayfly$;`

/**
 * Whether nothing happened since: every change takes a transaction's number, but for a sequence's next value. Says so in one
 * query, where looking at every table takes as long as there are tables and rows.
 */
const UNTOUCHED = `
SELECT 'untouched' FROM (SELECT coalesce(pg_read_file(${PLACE} || :'shelf' || '/' || :'mark', 0, 1000000, true), pg_read_file(${PLACE} || :'shelf' || '/mark'))::jsonb AS mark,
  pg_read_file(${PLACE} || :'shelf' || '/kept')::jsonb->'sequences' AS sequences) kept
WHERE (mark->>'next')::bigint = txid_snapshot_xmax(txid_current_snapshot()) % 4294967296
  AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL) AND NOT EXISTS (SELECT FROM pg_prepared_xacts)
  AND NOT EXISTS (SELECT FROM pg_sequences s, LATERAL (SELECT sequences->format('%I.%I', s.schemaname, s.sequencename) AS one) was
    WHERE CASE WHEN s.last_value IS NULL THEN one->>1 IS DISTINCT FROM 'false' ELSE one->>1 IS DISTINCT FROM 'true' OR (one->>0)::bigint <> s.last_value END);`

/**
 * Only tables that changed are emptied and filled again, with those that refer to them. A table is as it was kept when it
 * has as many rows and none of a later transaction.
 */
const RESTORE = `
BEGIN;
SET LOCAL lock_timeout = '${String(PATIENCE)}ms';
SET LOCAL session_replication_role = replica;
DO $mayfly$
DECLARE
  t record; place text := ${PLACE} || :'shelf' || '/'; mark text := ${PLACE} || :'shelf' || '/' || :'mark';
  kept jsonb := pg_read_file(${PLACE} || :'shelf' || '/kept')::jsonb; since jsonb;
  changed oid[] := '{}'; n bigint; youngest bigint; last bigint; called boolean; wanted jsonb;
  began bigint := txid_snapshot_xmax(txid_current_snapshot()); own bigint;
BEGIN
  since := coalesce(pg_read_file(mark, 0, 1000000, true), pg_read_file(place || 'mark'))::jsonb;
  IF since->>'schema' <> ${SCHEMA} THEN RAISE EXCEPTION '${CHANGED}'; END IF;
  FOR t IN ${TABLES} ORDER BY c.oid LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', t.name);
    EXECUTE format('SELECT count(*), min(age(xmin)) FROM ONLY %s', t.name) INTO n, youngest;
    IF n <> (kept->'rows'->>t.name)::bigint OR youngest < age((since->>'since')::xid) THEN changed := changed || t.oid; END IF;
  END LOOP;
  IF cardinality(changed) > 0 THEN
    WITH RECURSIVE touched AS (
      SELECT unnest(changed) AS oid
      UNION SELECT k.conrelid FROM pg_constraint k JOIN touched ON k.confrelid = touched.oid WHERE k.contype = 'f')
    SELECT array_agg(touched.oid) INTO changed FROM touched JOIN pg_class c ON c.oid = touched.oid WHERE c.relkind = 'r';
    EXECUTE (SELECT 'TRUNCATE ' || string_agg('ONLY ' || own.name, ', ') FROM (${TABLES}) own WHERE own.oid = ANY(changed));
    FOR t IN SELECT own.name, own.file FROM (${TABLES}) own WHERE own.oid = ANY(changed) AND (kept->'rows'->>own.name)::bigint > 0 LOOP
      EXECUTE format('COPY %s FROM %L', t.name, place || t.file);
    END LOOP;
    FOR t IN SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY oid LOOP
      EXECUTE format('REFRESH MATERIALIZED VIEW %s', t.name);
    END LOOP;
  END IF;
  FOR t IN SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences LOOP
    wanted := kept->'sequences'->t.name;
    EXECUTE format('SELECT last_value, is_called FROM %s', t.name) INTO last, called;
    IF last <> (wanted->>0)::bigint OR called <> (wanted->>1)::boolean THEN
      PERFORM setval(t.name::regclass, (wanted->>0)::bigint, (wanted->>1)::boolean);
    END IF;
  END LOOP;
  IF (SELECT count(*) FROM pg_largeobject_metadata) <> (since->>'objects')::bigint THEN RAISE EXCEPTION '${CHANGED}'; END IF;
  own := CASE WHEN cardinality(changed) > 0 THEN txid_current() ELSE txid_current_if_assigned() END;
  IF cardinality(changed) > 0 THEN since := since || jsonb_build_object('since', own % 4294967296); END IF;
  EXECUTE format('COPY (SELECT %L) TO %L', since || jsonb_build_object('next',
    CASE WHEN own IS NULL THEN began % 4294967296 WHEN own = began THEN (own + 1) % 4294967296 ELSE -1 END), mark);
END $mayfly$;
COMMIT;`

/** Definitions and all: what there is goes, the whole comes back. Connections live through it. */
const DROP_ALL = `
SET lock_timeout = '${String(PATIENCE)}ms';
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
DO $mayfly$
DECLARE t record;
BEGIN
  FOR t IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', t.extname); END LOOP;
  FOR t IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP EXECUTE format('DROP SCHEMA %I CASCADE', t.nspname); END LOOP;
  CREATE SCHEMA public;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
  IF current_setting('server_version_num')::int >= 150000 THEN ALTER SCHEMA public OWNER TO pg_database_owner;
  ELSE GRANT CREATE ON SCHEMA public TO PUBLIC; END IF;
END $mayfly$;`

/** Sessions in the middle of a transaction hold what has to be restored; those at rest do not. */
const CUT_OPEN = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL'

/** The databases of a container that were kept, and those whose marks are their own: known once looked at. */
const known = new WeakMap<object, { readonly shelves: readonly string[]; readonly marked: Set<string> }>()

/** Every database with tables of its own, and the one that clients are told of. At the server's own socket; whole databases by psql and pg_dump. */
export const POSTGRES_STATE: StateKeeping = {
  keep: async server => {
    await inContainer(server.container, 'rm -rf "${PGDATA:-/var/lib/postgresql/data}/mayfly"')
    for (const database of await databasesOf(server)) await keepOne(server, database, shelfOf(database), 'mark')
  },
  restore: async (server, database) => {
    const main = mainOf(server.env)
    const { shelves, marked } = await keptIn(server)
    if (database !== undefined) {
      marked.add(database)
      return await restoreOne(server, database, shelfOf(main), `mark-${shelfOf(database)}`)
    }
    for (const one of shelves) await restoreOne(server, one, shelfOf(one), 'mark')
  },
}

async function keptIn({ container }: Server): Promise<{ readonly shelves: readonly string[]; readonly marked: Set<string> }> {
  const there = known.get(container)
  if (there !== undefined) return there
  const names = await inContainer(container, 'cd "${PGDATA:-/var/lib/postgresql/data}/mayfly" && for d in */; do cat "$d/name"; echo; done')
  const kept = { shelves: names.split('\n').filter(name => name !== ''), marked: new Set<string>() }
  known.set(container, kept)
  return kept
}

/** Made from the prepared one as template. */
export const POSTGRES_DATABASES: Databases = {
  name: (env, nth) => `${mainOf(env)}_${String(nth)}`,
  inside: (env, database) => ({ ...env, POSTGRES_DB: database }),
  create: async (server, database) => {
    const statement = (how: string): string => `CREATE DATABASE ${quoted(database)} TEMPLATE ${quoted(mainOf(server.env))}${how};`
    const session = await sessionOf(server, 'template1')
    if (session === undefined) return void await psql(server, 'template1', statement(''))
    using used = session
    // Otherwise it would all go through the log: 20 ms more for 10 MB, and twice the processor time.
    await used.ask(statement(used.version >= 15 ? ' STRATEGY file_copy' : ''))
  },
  drop: async (server, database) => {
    await sql(server, 'template1', [`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${literal(database)};`, `DROP DATABASE IF EXISTS ${quoted(database)};`])
    if ((await keptIn(server)).marked.delete(database)) await inContainer(server.container, 'rm -f "${PGDATA:-/var/lib/postgresql/data}"/mayfly/*/"mark-$0"', { words: [shelfOf(database)] })
  },
}

async function keepOne(server: Server, database: string, shelf: string, mark: string): Promise<void> {
  await inContainer(server.container, 'd="${PGDATA:-/var/lib/postgresql/data}/mayfly/$0"; mkdir -p "$d" && printf %s "$1" > "$d/name" && pg_dump -U "$2" -d "$1" -f "$d/whole.sql" && chown -R "$(stat -c %u:%g "${PGDATA:-/var/lib/postgresql/data}")" "${PGDATA:-/var/lib/postgresql/data}/mayfly"', {
    words: [shelf, database, userOf(server.env)],
  })
  known.delete(server.container)
  await sql(server, database, [KEEP], { shelf, mark })
}

async function restoreOne(server: Server, database: string, shelf: string, mark: string): Promise<void> {
  const attempt = async (): Promise<void> => {
    try {
      await bringBack(server, database, { shelf, mark })
    } catch (error) {
      if (!String(error).includes(CHANGED)) throw error
      await rebuild(server, database, shelf, mark)
    }
  }
  try {
    await attempt()
  } catch (error) {
    if (!isMayflyError(error) || !LOCKED.test(error.message)) throw error
    await sql(server, database, [CUT_OPEN])
    await attempt()
  }
}

async function bringBack(server: Server, database: string, names: Readonly<Record<string, string>>): Promise<void> {
  const session = await sessionOf(server, database)
  if (session === undefined) return void await psql(server, database, filled(RESTORE, names))
  using used = session
  if ((await used.ask(filled(UNTOUCHED, names))).length === 0) await used.ask(filled(RESTORE, names))
}

async function rebuild(server: Server, database: string, shelf: string, mark: string): Promise<void> {
  await psql(server, database, DROP_ALL)
  await inContainer(server.container, 'psql -X -q -v ON_ERROR_STOP=1 -U "$2" -d "$1" -f "${PGDATA:-/var/lib/postgresql/data}/mayfly/$0/whole.sql" > /dev/null', {
    words: [shelf, database, userOf(server.env)],
  })
  await sql(server, database, [KEEP], { shelf, mark })
}

async function databasesOf(server: Server): Promise<readonly string[]> {
  const names = await sql(server, 'template1', ['SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate;'])
  const main = mainOf(server.env)
  const used = await Promise.all(names.map(async name => name === main || (await sql(server, name, [`SELECT 1 FROM (${TABLES}) own LIMIT 1;`])).length > 0))
  return names.filter((_, nth) => used[nth])
}

/** Statements, one after the other; answers the first columns of the last one's rows. `names` are put into them. */
async function sql(server: Server, database: string, texts: readonly string[], names: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
  const all = texts.map(text => filled(text, names))
  const session = await sessionOf(server, database)
  if (session === undefined) return (await psql(server, database, all.join('\n'))).split('\n').filter(line => line !== '')
  using used = session
  let rows: readonly string[] = []
  for (const text of all) rows = await used.ask(text)
  return rows
}

/** Inside a quoted block psql would replace nothing. */
function filled(text: string, names: Readonly<Record<string, string>>): string {
  return Object.entries(names).reduce((all, [name, value]) => all.replaceAll(`:'${name}'`, literal(value)), text)
}

async function sessionOf(server: Server, database: string): Promise<PostgresSession | undefined> {
  return await openPostgres(server, { database, settings: QUIETLY, patience: LONGEST }).catch(() => undefined)
}

async function psql({ container, env }: Server, database: string, input: string): Promise<string> {
  return await inContainer(container, 'exec psql -X -q -A -t -v ON_ERROR_STOP=1 -U "$0" -d "$1"', { words: [userOf(env), database], input, env: { PGOPTIONS: QUIETLY } })
}

const QUIETLY = '-c client_min_messages=error -c log_min_error_statement=panic -c log_min_messages=fatal'

function userOf(env: Environment): string {
  return env['POSTGRES_USER'] ?? 'postgres'
}

function mainOf(env: Environment): string {
  return env['POSTGRES_DB'] ?? userOf(env)
}

/** A directory's name that any database's name gives. */
function shelfOf(database: string): string {
  return Buffer.from(database).toString('hex')
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literal(text: string): string {
  return `'${text.replaceAll('\'', '\'\'')}'`
}
