import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'

const directory = new URL('./migrations/', import.meta.url)
const client = new pg.Client(process.env.DATABASE_URL)
await client.connect()
for (const name of readdirSync(directory).sort()) {
  await client.query(readFileSync(new URL(name, directory), 'utf8'))
  console.log(`migrated ${name}`)
}
await client.end()
