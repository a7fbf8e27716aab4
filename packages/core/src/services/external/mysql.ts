import type { ExternalClient, OpenClient } from './types.js'

interface Mysql {
  createConnection(options: { readonly uri: string; readonly multipleStatements: true }): Promise<MysqlConnection>
}

interface MysqlConnection {
  query(text: string, values?: readonly unknown[]): Promise<readonly [readonly Record<string, unknown>[], unknown]>
  end(): Promise<void>
}

/** By the package `mysql2`. Copies stand in a further database beside each of ours. */
export const openMysql: OpenClient = async (url, load): Promise<ExternalClient> => {
  const { createConnection } = await load<Mysql>('mysql2/promise')
  const urlOf = (database: string): string => {
    const own = new URL(url)
    own.pathname = `/${encodeURIComponent(database)}`
    return own.href
  }
  const admin = async <T>(work: (connection: MysqlConnection) => Promise<T>): Promise<T> => {
    const connection = await createConnection({ uri: url.href, multipleStatements: true })
    try {
      return await work(connection)
    } finally {
      await connection.end().catch(() => undefined)
    }
  }
  const tablesOf = async (connection: MysqlConnection, database: string): Promise<readonly { readonly name: string; readonly counter: unknown }[]> => {
    const [rows] = await connection.query('SELECT table_name AS name, auto_increment AS counter FROM information_schema.tables WHERE table_schema = ? AND table_type = \'BASE TABLE\'', [database])
    return rows.map(({ name, counter }) => ({ name: String(name), counter }))
  }
  const columnsOf = async (connection: MysqlConnection, database: string, table: string): Promise<string> => {
    const [rows] = await connection.query('SELECT column_name AS name FROM information_schema.columns WHERE table_schema = ? AND table_name = ? AND extra NOT LIKE \'%GENERATED%\' ORDER BY ordinal_position', [database, table])
    return rows.map(({ name }) => quoted(String(name))).join(', ')
  }
  return {
    urlOf,
    copies: false,
    mayCreate: () => admin(async connection => {
      const [rows] = await connection.query('SHOW GRANTS')
      return rows.flatMap(row => Object.values(row)).some(grant => /^GRANT (ALL PRIVILEGES|.*\bCREATE\b(?! (USER|VIEW|ROUTINE|ROLE|TABLESPACE|TEMPORARY))).* ON \*\.\*/i.test(String(grant)))
    }),
    choose: wanted => Promise.resolve(wanted),
    create: database => admin(async connection => void await connection.query(`CREATE DATABASE ${quoted(database)}`)),
    drop: database => admin(async connection => void await connection.query(`DROP DATABASE IF EXISTS ${quoted(database)}; DROP DATABASE IF EXISTS ${quoted(keptOf(database))}`)),
    keep: database => admin(async connection => {
      await connection.query(`DROP DATABASE IF EXISTS ${quoted(keptOf(database))}; CREATE DATABASE ${quoted(keptOf(database))}`)
      for (const { name } of await tablesOf(connection, database)) {
        await connection.query(`CREATE TABLE ${quoted(keptOf(database))}.${quoted(name)} AS SELECT ${await columnsOf(connection, database, name)} FROM ${quoted(database)}.${quoted(name)}`)
      }
      await connection.query(`CREATE TABLE ${quoted(keptOf(database))}.\`mayfly counters\` (name varchar(64), counter bigint unsigned); INSERT INTO ${quoted(keptOf(database))}.\`mayfly counters\` SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = ? AND auto_increment IS NOT NULL`, [database])
    }),
    restore: database => admin(async connection => {
      await connection.query('SET SESSION lock_wait_timeout = 5, FOREIGN_KEY_CHECKS = 0, UNIQUE_CHECKS = 0')
      const kept = new Set((await tablesOf(connection, keptOf(database))).map(({ name }) => name))
      const [counters] = await connection.query(`SELECT name, counter FROM ${quoted(keptOf(database))}.\`mayfly counters\``)
      for (const { name } of await tablesOf(connection, database)) {
        if (!kept.has(name)) {
          await connection.query(`DROP TABLE ${quoted(database)}.${quoted(name)}`)
          continue
        }
        const columns = await columnsOf(connection, database, name)
        const counter = counters.find(one => one['name'] === name)?.['counter']
        await connection.query(`TRUNCATE TABLE ${quoted(database)}.${quoted(name)}; INSERT INTO ${quoted(database)}.${quoted(name)} (${columns}) SELECT ${columns} FROM ${quoted(keptOf(database))}.${quoted(name)}`)
        if (counter !== undefined) await connection.query(`ALTER TABLE ${quoted(database)}.${quoted(name)} AUTO_INCREMENT = ${String(Number(counter))}`)
      }
    }),
    end: () => Promise.resolve(),
  }
}

function keptOf(database: string): string {
  return `${database.slice(0, 59)}_kept`
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}
