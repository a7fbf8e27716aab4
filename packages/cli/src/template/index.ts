export { compileTemplate, type Template } from './evaluate.js'
export { TemplateError } from './parse.js'
export { formatInspect, formatList, formatValue, type Column, type ListFormat } from './print.js'
