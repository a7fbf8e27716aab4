import { isMayflyError } from '../../errors.js'
import { inContainer } from './tools.js'
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
    'objects', (SELECT count(*) FROM pg_largeobject_metadata)), place || :'mark');
END $mayfly$;`

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
  IF cardinality(changed) > 0 THEN
    EXECUTE format('COPY (SELECT %L) TO %L', since || jsonb_build_object('since', txid_current() % 4294967296), mark);
  END IF;
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

/** Every database with tables of its own, and the one that clients are told of. By psql and pg_dump, at the server's own socket. */
export const POSTGRES_STATE: StateKeeping = {
  keep: async server => {
    await inContainer(server.container, 'rm -rf "${PGDATA:-/var/lib/postgresql/data}/mayfly"')
    for (const database of await databasesOf(server)) await keepOne(server, database, shelfOf(database), 'mark')
  },
  restore: async (server, database) => {
    const main = mainOf(server.env)
    if (database !== undefined) return await restoreOne(server, database, shelfOf(main), `mark-${shelfOf(database)}`)
    const shelves = await inContainer(server.container, 'cd "${PGDATA:-/var/lib/postgresql/data}/mayfly" && for d in */; do cat "$d/name"; echo; done')
    for (const one of shelves.split('\n').filter(name => name !== '')) await restoreOne(server, one, shelfOf(one), 'mark')
  },
}

/** Made from the prepared one as template. */
export const POSTGRES_DATABASES: Databases = {
  name: (env, nth) => `${mainOf(env)}_${String(nth)}`,
  inside: (env, database) => ({ ...env, POSTGRES_DB: database }),
  create: async (server, database) => {
    await sql(server, 'template1', `CREATE DATABASE ${quoted(database)} TEMPLATE ${quoted(mainOf(server.env))};`)
  },
  drop: async (server, database) => {
    await sql(server, 'template1', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${literal(database)};\nDROP DATABASE IF EXISTS ${quoted(database)};`)
    await inContainer(server.container, 'rm -f "${PGDATA:-/var/lib/postgresql/data}"/mayfly/*/"mark-$0"', { words: [shelfOf(database)] })
  },
}

async function keepOne(server: Server, database: string, shelf: string, mark: string): Promise<void> {
  await inContainer(server.container, 'd="${PGDATA:-/var/lib/postgresql/data}/mayfly/$0"; mkdir -p "$d" && printf %s "$1" > "$d/name" && pg_dump -U "$2" -d "$1" -f "$d/whole.sql" && chown -R "$(stat -c %u:%g "${PGDATA:-/var/lib/postgresql/data}")" "${PGDATA:-/var/lib/postgresql/data}/mayfly"', {
    words: [shelf, database, userOf(server.env)],
  })
  await sql(server, database, KEEP, { shelf, mark })
}

async function restoreOne(server: Server, database: string, shelf: string, mark: string): Promise<void> {
  const attempt = async (): Promise<void> => {
    try {
      await sql(server, database, RESTORE, { shelf, mark })
    } catch (error) {
      if (!String(error).includes(CHANGED)) throw error
      await rebuild(server, database, shelf, mark)
    }
  }
  try {
    await attempt()
  } catch (error) {
    if (!isMayflyError(error) || !LOCKED.test(error.message)) throw error
    await sql(server, database, CUT_OPEN)
    await attempt()
  }
}

async function rebuild(server: Server, database: string, shelf: string, mark: string): Promise<void> {
  await sql(server, database, DROP_ALL)
  await inContainer(server.container, 'psql -X -q -v ON_ERROR_STOP=1 -U "$2" -d "$1" -f "${PGDATA:-/var/lib/postgresql/data}/mayfly/$0/whole.sql" > /dev/null', {
    words: [shelf, database, userOf(server.env)],
  })
  await sql(server, database, KEEP, { shelf, mark })
}

async function databasesOf(server: Server): Promise<readonly string[]> {
  const listed = await sql(server, 'template1', 'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate;')
  const names = listed.split('\n').filter(name => name !== '')
  const main = mainOf(server.env)
  const used = await Promise.all(names.map(async name => name === main || (await sql(server, name, `SELECT 1 FROM (${TABLES}) own LIMIT 1;`)) !== ''))
  return names.filter((_, nth) => used[nth])
}

/** Statements from standard input; `variables` are psql's. */
async function sql({ container, env }: Server, database: string, text: string, variables: Readonly<Record<string, string>> = {}): Promise<string> {
  // Inside a quoted block psql replaces nothing.
  const input = Object.entries(variables).reduce((all, [name, value]) => all.replaceAll(`:'${name}'`, literal(value)), text)
  return await inContainer(container, 'exec psql -X -q -A -t -v ON_ERROR_STOP=1 -U "$0" -d "$1"', { words: [userOf(env), database], input, env: { PGOPTIONS: '-c client_min_messages=error -c log_min_error_statement=panic -c log_min_messages=fatal' } })
}

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
