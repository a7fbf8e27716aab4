import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { build, run, type BuildEvent, type BuildOptions, type BuiltImage } from '@mayfly/core'
import { imageFile, openStore, parseReference, pullImage, type Image } from '@mayfly/core/engine'
import { afterAll, beforeAll } from 'vitest'
import { useBench } from '../runtime/bench.js'

export interface Result extends BuiltImage {
  readonly name: string
  readonly events: readonly BuildEvent[]
  /** The texts of steps that an earlier build did. */
  readonly cached: readonly string[]
}

/** For a file of tests: a store of its own, the test images' registry, and a directory for contexts. */
export function useWorkshop(): { readonly directory: string; readonly home: string } {
  const bench = useBench()
  const workshop = { directory: '', get home() { return join(bench.home, 'home') } }
  beforeAll(() => { place = workshop.directory = mkdtempSync(join(tmpdir(), 'mayfly-test-')) })
  afterAll(() => rmSync(workshop.directory, { recursive: true }))
  return workshop
}

let place = ''
let last = 0

/** Builds from a Dockerfile and files, by name; a value is a file's text. */
export async function made(dockerfile: string, files: Readonly<Record<string, string | Buffer>> = {}, options: Partial<BuildOptions> = {}): Promise<Result> {
  last += 1
  const name = `made-${String(last)}`
  const context = join(place, name)
  mkdirSync(context)
  for (const [path, text] of Object.entries({ Dockerfile: dockerfile, ...files })) {
    mkdirSync(dirname(join(context, path)), { recursive: true })
    writeFileSync(join(context, path), text)
  }
  const events: BuildEvent[] = []
  const image = await build({ context, tags: [name], onProgress: (event) => events.push(event), ...options })
  const cached = events.flatMap((event) => event.kind === 'step' && event.state === 'cached' ? [event.step.text] : [])
  return { ...image, name, events, cached }
}

export async function imageOf(name: string, platform?: NonNullable<Parameters<typeof pullImage>[2]>['platform']): Promise<Image> {
  return await pullImage(await openStore(), parseReference(name), { policy: 'never', platform })
}

/** What a container of the image prints. */
export async function printed(name: string, ...command: string[]): Promise<readonly string[]> {
  const ready = { description: 'the start', ready: () => Promise.resolve(), acceptsExit: true }
  const container = await run(name, { ...(command.length === 0 ? {} : { command }), pull: 'never', ready })
  const lines: string[] = []
  for await (const { text } of container.logs({ follow: true })) lines.push(text)
  await container.stop({ timeout: 0 })
  return lines
}

export async function fileOf(name: string, path: string): Promise<string | undefined> {
  return (await imageFile(await imageOf(name), path))?.toString('utf8')
}
