import pg from 'pg'

// As an application has it: the variable is read when the module loads.
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

export async function names(): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>('SELECT name FROM products ORDER BY name')
  return rows.map(row => row.name)
}

export async function rename(from: string, to: string): Promise<void> {
  await pool.query('UPDATE products SET name = $2 WHERE name = $1', [from, to])
}

export function close(): Promise<void> {
  return pool.end()
}
