/** A contestant: how often it is asked, it answers with milliseconds. */
/** @typedef {{ name: string, absent?: string, once?: () => Promise<number> }} Contestant */

/** @param {readonly number[]} values milliseconds */
export function percentiles(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share) => round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)])
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), n: sorted.length }
}

/**
 * Asks the contestants by turns, so that what disturbs the machine disturbs all of them alike.
 * @param {readonly Contestant[]} contestants
 * @param {{ rounds: number, warmUps?: number, pause?: number }} options pause: milliseconds before each
 * @returns {Promise<{ mayfly: object, floor: object, rivals: object, ratio: object }>}
 */
export async function compete(contestants, { rounds, warmUps = 2, pause = 0 }) {
  const times = new Map(contestants.map((one) => [one, []]))
  const reasons = new Map()
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const one of contestants) {
      if (one.absent !== undefined || reasons.has(one)) continue
      if (pause > 0) await new Promise((resolve) => { setTimeout(resolve, pause) })
      try {
        const took = await one.once()
        if (round >= 0) times.get(one).push(took)
      } catch (error) {
        if (one.name === 'mayfly') throw error
        reasons.set(one, `failed: ${String(error.message).trim().split('\n')[0]}`)
      }
    }
  }
  const result = { mayfly: undefined, floor: { absent: 'has no floor' }, rivals: {}, ratio: {} }
  for (const one of contestants) {
    const absent = one.absent ?? reasons.get(one)
    const figures = absent === undefined ? percentiles(times.get(one)) : { absent }
    if (one.name === 'mayfly' || one.name === 'floor') result[one.name] = figures
    else result.rivals[one.name] = figures
  }
  for (const [name, figures] of [['floor', result.floor], ...Object.entries(result.rivals)]) {
    if (figures.absent === undefined) result.ratio[name] = round(figures.p50 / result.mayfly.p50)
  }
  return result
}

function round(value) {
  return Number(value.toPrecision(4))
}
