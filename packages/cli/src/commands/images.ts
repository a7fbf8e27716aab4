import { elapsed, table } from '../table.js'

/** Lists the images of the store, with Docker's columns. */
export async function images(options: { readonly quiet?: boolean, readonly format?: string, readonly trunc: boolean }): Promise<void> {
  const { listImages, openStore } = await import('@mayfly/core/engine')
  const rows = (await listImages(await openStore())).map((image) => {
    const familiar = image.reference.familiar
    const cut = familiar.includes('@') ? familiar.indexOf('@') : familiar.lastIndexOf(':') > familiar.lastIndexOf('/') ? familiar.lastIndexOf(':') : familiar.length
    const id = String(image.digest)
    return {
      Repository: familiar.slice(0, cut),
      Tag: familiar[cut] === ':' ? familiar.slice(cut + 1) : familiar[cut] === '@' ? '<none>' : 'latest',
      ID: options.trunc ? id.replace('sha256:', '').slice(0, 12) : id,
      Pulled: `${elapsed(image.pulledAt, Date.now())} ago`,
    }
  })
  if (options.format === 'json') for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
  else if (options.quiet === true) for (const row of rows) process.stdout.write(`${row.ID}\n`)
  else process.stdout.write(table(['REPOSITORY', 'TAG', 'IMAGE ID', 'PULLED'], rows.map((row) => [row.Repository, row.Tag, row.ID, row.Pulled])))
}
