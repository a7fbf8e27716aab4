import { table } from '../table.js'
import { compileTemplate } from './evaluate.js'

/** A column of a list: the row's field it shows, and its head. */
export type Column<Row> = readonly [field: keyof Row & string, head: string]

export interface ListFormat<Row> {
  /** What is shown without a template. */
  readonly columns: readonly Column<Row>[]
  /** Heads of fields that are no columns by themselves, for `table` templates; else the field's name in capitals. */
  readonly heads?: Readonly<Partial<Record<keyof Row & string, string>>>
  /** `--format`: absent or `table`, `json`, a template, or `table` and a template. */
  readonly format?: string | undefined
  /** `--quiet`: only this field, one a line. */
  readonly quiet?: (keyof Row & string) | undefined
}

/** The text of a list as Docker prints it. Throws TemplateError. */
export function formatList<Row extends object>(rows: readonly Row[], { columns, heads, format = 'table', quiet }: ListFormat<Row>): string {
  if (quiet !== undefined && (format === 'table' || format === 'json')) return lines(rows.map((row) => String(row[quiet])))
  if (format === 'json') return lines(rows.map((row) => JSON.stringify(row)))
  if (format === 'table') {
    return table(columns.map(([, head]) => head), rows.map((row) => columns.map(([field]) => String(row[field]))))
  }
  const [, tabular, text = ''] = /^(table\s+)?([\s\S]*)$/.exec(format) ?? []
  // As in Docker's lists, these two may be written out; a shell hardly lets one type them.
  const template = compileTemplate(text.replaceAll('\\t', '\t').replaceAll('\\n', '\n'))
  if (tabular === undefined) return lines(rows.map((row) => template(row)))
  const [head = '', ...body] = [headRow(columns, heads ?? {}, rows), ...rows].map((row) => template(row))
  return table(head.split('\t'), body.map((line) => line.split('\t')))
}

/** The text of `inspect`: all documents as one JSON array, or the template for each. Throws TemplateError. */
export function formatInspect(documents: readonly object[], format: string | undefined): string {
  if (format === undefined || format === '') return `${JSON.stringify(documents, null, 4)}\n`
  if (format === 'json') return lines(documents.map((one) => JSON.stringify(one)))
  const template = compileTemplate(format)
  return lines(documents.map((one) => template(one)))
}

/** A single value: as JSON or by the template. Throws TemplateError. */
export function formatValue(value: object, format: string): string {
  return `${format === 'json' ? JSON.stringify(value) : compileTemplate(format)(value)}\n`
}

function headRow<Row extends object>(
  columns: readonly Column<Row>[], heads: Readonly<Partial<Record<string, string>>>, rows: readonly Row[],
): Record<string, string> {
  const named = new Map<string, string>(columns)
  const fields = new Set([...named.keys(), ...Object.keys(heads), ...Object.keys(rows[0] ?? {})])
  return Object.fromEntries([...fields].map((field) => [field, named.get(field) ?? heads[field] ?? field.toUpperCase()]))
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('')
}
