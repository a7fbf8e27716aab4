import { MayflyError } from '../errors.js'
import { globPattern } from '../glob.js'
import { parseDuration } from '../units.js'
import { chooseImage, type StoredImage } from './catalog.js'
import { withTag } from './names.js'
import { isUnnamed } from './refs.js'

export type ImageCondition = (image: StoredImage) => boolean

const KEYS = ['dangling', 'label', 'label!', 'before', 'since', 'until', 'reference'] as const

/**
 * Docker's `--filter NAME=VALUE`, for images: dangling, label, label!, before, since, until, reference. One name given several
 * times means any of them, labels all of them; different names all have to hold. `all`: what `before` and `since` name is one
 * of these. Throws ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_IMAGE_NOT_FOUND.
 */
export function imageFilter(filters: readonly string[], all: readonly StoredImage[], now: number): ImageCondition {
  const byKey = new Map<string, ImageCondition[]>()
  for (const filter of filters) {
    const [, key = '', value = ''] = /^([a-z]+!?)=([\s\S]*)$/.exec(filter) ?? []
    byKey.set(key, [...byKey.get(key) ?? [], condition(filter, key, value, all, now)])
  }
  const groups = [...byKey].map(([key, conditions]): ImageCondition => (image) =>
    key.startsWith('label') ? conditions.every((one) => one(image)) : conditions.some((one) => one(image)))
  return (image) => groups.every((group) => group(image))
}

function condition(filter: string, key: string, value: string, all: readonly StoredImage[], now: number): ImageCondition {
  switch (key as (typeof KEYS)[number]) {
    case 'dangling': {
      const wanted = /^(true|1|t)$/i.test(value)
      if (!wanted && !/^(false|0|f)$/i.test(value)) break
      return ({ names }) => names.every(({ reference }) => isUnnamed(reference)) === wanted
    }
    case 'label': return (image) => hasLabel(image, value)
    case 'label!': return (image) => !hasLabel(image, value)
    case 'before': return madeBefore(Number(chooseImage(all, value).image.created ?? 0))
    case 'since': {
      const than = Number(chooseImage(all, value).image.created ?? 0)
      return ({ created }) => Number(created ?? 0) > than
    }
    case 'until': return madeBefore(timeOf(filter, value, now))
    case 'reference': {
      const pattern = globPattern(value)
      return ({ names }) => names.some(({ reference }) => {
        const name = withTag(reference.familiar)
        return pattern.test(name) || pattern.test(name.replace(/[:@][^/]*$/, ''))
      })
    }
  }
  throw invalid(filter)
}

function madeBefore(time: number): ImageCondition {
  return ({ created }) => Number(created ?? 0) < time
}

function hasLabel({ parsed: { config: { Labels } } }: StoredImage, wanted: string): boolean {
  const [, name = '', value] = /^([^=]*)(?:=([\s\S]*))?$/.exec(wanted) ?? []
  return Object.hasOwn(Labels, name) && (value === undefined || Labels[name] === value)
}

/** A duration back from now, seconds since 1970, or a date. */
function timeOf(filter: string, value: string, now: number): number {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000
  if (/^[\d.]+[a-zµ]/.test(value)) return now - parseDuration(value)
  const time = Date.parse(value)
  if (Number.isNaN(time)) throw invalid(filter)
  return time
}

function invalid(filter: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid filter ${JSON.stringify(filter)}`, { hint: `Filters are ${KEYS.map((key) => `${key}=…`).join(', ')}` })
}
