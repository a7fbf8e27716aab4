import pg from 'pg'

/** Who this worker is: its slot, which stays the same from file to file. */
export const slot = Number(process.env.VITEST_POOL_ID)

/** Leaves a row of this worker and this file, waits until others had time to do the same, and reads all rows. */
export async function visit(file: string): Promise<{ slots: number[]; files: string[] }> {
  const client = new pg.Client(process.env.DATABASE_URL)
  await client.connect()
  try {
    await client.query('CREATE TABLE IF NOT EXISTS visits (slot int, file text)')
    await client.query('INSERT INTO visits VALUES ($1, $2)', [slot, file])
    await client.query('SELECT pg_sleep(0.2)')
    const { rows } = await client.query<{ slot: number; file: string }>('SELECT slot, file FROM visits')
    return { slots: [...new Set(rows.map(row => row.slot))], files: rows.map(row => row.file) }
  } finally {
    await client.end()
  }
}
