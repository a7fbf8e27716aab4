import type { ExternalClient, OpenClient } from './types.js'

interface Mongodb {
  readonly MongoClient: { connect(url: string): Promise<MongoClient> }
}

interface MongoClient {
  db(name: string): { dropDatabase(): Promise<unknown> }
  close(): Promise<void>
}

/** By the package `mongodb`. A database is there as soon as something is written to it. */
export const openMongodb: OpenClient = async (url, load): Promise<ExternalClient> => {
  const { MongoClient } = await load<Mongodb>('mongodb')
  const client = await MongoClient.connect(url.href)
  return {
    copies: false,
    mayCreate: () => Promise.resolve(true),
    choose: wanted => Promise.resolve(wanted),
    urlOf: database => {
      const own = new URL(url)
      // Users of an address without a word on it are those of the database in its path.
      if (url.username !== '' && !url.searchParams.has('authSource')) own.searchParams.set('authSource', url.pathname.slice(1) || 'admin')
      own.pathname = `/${encodeURIComponent(database)}`
      return own.href
    },
    create: () => Promise.resolve(),
    drop: async database => void await client.db(database).dropDatabase(),
    end: () => client.close(),
  }
}
