import type { ExternalClient, OpenClient } from './types.js'

interface Pg {
  readonly Client: new (options: { readonly connectionString: string }) => PgClient
}

interface PgClient {
  connect(): Promise<void>
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  on(event: 'error', listener: () => void): void
  end(): Promise<void>
}

/** By the package `pg`. */
export const openPostgres: OpenClient = async (url, load): Promise<ExternalClient> => {
  const { Client } = await load<Pg>('pg')
  const urlOf = (database: string): string => {
    const own = new URL(url)
    own.pathname = `/${encodeURIComponent(database)}`
    return own.href
  }
  const within = async <T>(address: string, work: (client: PgClient) => Promise<T>): Promise<T> => {
    const client = new Client({ connectionString: address })
    // A database that is dropped takes its clients along.
    client.on('error', () => undefined)
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  const admin = <T>(work: (client: PgClient) => Promise<T>): Promise<T> => within(url.href, work)
  return {
    urlOf,
    copies: true,
    mayCreate: () => admin(async client => (await client.query('SELECT rolcreatedb OR rolsuper AS may FROM pg_roles WHERE rolname = current_user')).rows[0]?.['may'] === true),
    choose: wanted => Promise.resolve(wanted),
    create: (database, template) => admin(async client => {
      await client.query(`CREATE DATABASE ${quoted(database)}${template === undefined ? '' : ` TEMPLATE ${quoted(template)}`}`)
    }),
    drop: database => admin(async client => {
      await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database])
      await client.query(`DROP DATABASE IF EXISTS ${quoted(database)}`)
    }),
    keep: database => within(urlOf(database), async client => void await client.query(KEEP)),
    restore: database => within(urlOf(database), async client => {
      await client.query('BEGIN; SET LOCAL lock_timeout = \'5s\'')
      await client.query(RESTORE)
      await client.query('COMMIT')
    }),
    end: () => Promise.resolve(),
  }
}

const TABLES = `SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, md5(format('%I.%I', n.nspname, c.relname)) AS copy,
  (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'mayfly')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`

/** A server that is not ours gives us no files: copies stand in a schema of their own. */
const KEEP = `DROP SCHEMA IF EXISTS mayfly CASCADE; CREATE SCHEMA mayfly; CREATE TABLE mayfly.sequences (name text, last bigint, called boolean);
DO $mayfly$
DECLARE t record;
BEGIN
  FOR t IN ${TABLES} LOOP
    EXECUTE format('CREATE TABLE mayfly.%I AS SELECT * FROM ONLY %s', t.copy, t.name);
  END LOOP;
  FOR t IN SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences LOOP
    EXECUTE format('INSERT INTO mayfly.sequences SELECT %L, last_value, is_called FROM %s', t.name, t.name);
  END LOOP;
END $mayfly$;`

/** Tables that others refer to come first: what switches the checks off takes a superuser. */
const RESTORE = `
DO $mayfly$
DECLARE t record;
BEGIN
  EXECUTE (SELECT coalesce('TRUNCATE ' || string_agg('ONLY ' || own.name, ', '), 'SELECT 1') FROM (${TABLES}) own);
  FOR t IN WITH RECURSIVE depth AS (
      SELECT own.oid, 0 AS level FROM (${TABLES}) own
      UNION ALL SELECT k.conrelid, depth.level + 1 FROM pg_constraint k JOIN depth ON k.confrelid = depth.oid
        WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND depth.level < 100)
    SELECT own.name, own.copy, own.columns FROM (${TABLES}) own JOIN depth USING (oid)
    GROUP BY own.name, own.copy, own.columns ORDER BY max(depth.level) LOOP
    CONTINUE WHEN to_regclass('mayfly.' || quote_ident(t.copy)) IS NULL OR t.columns IS NULL;
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', t.name);
    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM mayfly.%I', t.name, t.columns, t.columns, t.copy);
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', t.name);
  END LOOP;
  FOR t IN SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY oid LOOP
    EXECUTE format('REFRESH MATERIALIZED VIEW %s', t.name);
  END LOOP;
  PERFORM setval(name::regclass, last, called) FROM mayfly.sequences WHERE to_regclass(name) IS NOT NULL;
END $mayfly$;`

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
