/**
 * The shapes of request bodies and queries, and a strict reader for them.
 *
 * It finds every fault of a request at once: what is missing, what is of the wrong type, and what the API does not know.
 * It says nothing about values that are of the right type and still cannot be.
 */

/** The violation of one field of a request. @internal */
export interface Fault {
  readonly field: string
  readonly message: string
}

/** Reads a value; what it gives means nothing where it has added a fault. @internal */
export interface Shape<A> {
  readonly read: (value: unknown, field: string, faults: Array<Fault>) => A
  /** The field may be left out. */
  readonly optional?: true
}

type Of<S> = S extends Shape<infer A> ? A : never

type OptionalKeys<F> = { [K in keyof F]: F[K] extends { readonly optional: true } ? K : never }[keyof F]

/** The type of an object of these fields. @internal */
export type Fields<F> =
  & { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Of<F[K]> }
  & { readonly [K in OptionalKeys<F>]?: Of<F[K]> }

/** The substitute for a value that could not be read. The violation is recorded, and the request ends. */
const nothing = undefined as never

const a = <A>(what: string, is: (value: unknown) => value is A): Shape<A> => ({
  read: (value, field, faults) => {
    if (is(value)) return value
    faults.push({ field, message: `must be ${what}` })
    return nothing
  }
})

/** @internal */
export const text: Shape<string> = a("a string", (value): value is string => typeof value === "string")
/** @internal */
export const flag: Shape<boolean> = a("a boolean", (value): value is boolean => typeof value === "boolean")
/** @internal */
export const integer: Shape<number> = a("an integer", (value): value is number => Number.isSafeInteger(value))
/** The id or the name of something: a name, a number, or a number written as text. @internal */
export const idOrName: Shape<string | number> = a(
  "an id or a name",
  (value): value is string | number => typeof value === "string" ? value !== "" : Number.isSafeInteger(value)
)

/** @internal */
export const literals = <const L extends string>(...values: ReadonlyArray<L>): Shape<L> =>
  a(`one of ${values.join(", ")}`, (value): value is L => (values as ReadonlyArray<unknown>).includes(value))

/** @internal */
export const nullable = <A>(shape: Shape<A>): Shape<A | null> => ({
  read: (value, field, faults) => value === null ? null : shape.read(value, field, faults)
})

/** @internal */
export const optional = <A>(shape: Shape<A>): Shape<A> & { readonly optional: true } => ({ ...shape, optional: true })

/** @internal */
export const list = <A>(shape: Shape<A>): Shape<ReadonlyArray<A>> => ({
  read: (value, field, faults) => {
    if (Array.isArray(value)) return value.map((item, index) => shape.read(item, `${field}[${index}]`, faults))
    faults.push({ field, message: "must be a list" })
    return nothing
  }
})

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** @internal */
export const record = <F extends Readonly<Record<string, Shape<unknown>>>>(fields: F): Shape<Fields<F>> => ({
  read: (value, field, faults) => {
    if (!isRecord(value)) {
      faults.push({ field: field === "" ? "body" : field, message: "must be an object" })
      return nothing
    }
    const at = (key: string) => field === "" ? key : `${field}.${key}`
    for (const key of Object.keys(value)) {
      if (!Object.hasOwn(fields, key)) faults.push({ field: at(key), message: "is not known" })
    }
    const result: Record<string, unknown> = {}
    for (const [key, shape] of Object.entries(fields)) {
      if (Object.hasOwn(value, key)) result[key] = shape.read(value[key], at(key), faults)
      else if (shape.optional !== true) faults.push({ field: at(key), message: "is missing" })
    }
    return result as Fields<F>
  }
})

/** A map of labels; its grammar is the world's concern. @internal */
export const labels: Shape<Readonly<Record<string, string>>> = {
  read: (value, field, faults) => {
    if (isRecord(value) && Object.values(value).every((one) => typeof one === "string")) {
      return value as Readonly<Record<string, string>>
    }
    faults.push({ field, message: "must be a map of strings" })
    return nothing
  }
}

/** A parameter of a query. @internal */
export interface Parameter<A> {
  readonly many: boolean
  /** Gives undefined for a text that it cannot read. */
  readonly read: (written: string) => A | undefined
  readonly what: string
}

/** @internal */
export const word: Parameter<string> = { many: false, what: "a text", read: (written) => written }
/** @internal */
export const natural: Parameter<number> = {
  many: false,
  what: "a natural number",
  read: (written) => /^\d{1,16}$/.test(written) ? Number(written) : undefined
}
/** @internal */
export const truth: Parameter<boolean> = {
  many: false,
  what: "true or false",
  // Python clients send `True`.
  read: (written) => /^true$/i.test(written) ? true : /^false$/i.test(written) ? false : undefined
}
/** @internal */
export const oneOf = <const L extends string>(...values: ReadonlyArray<L>): Parameter<L> => ({
  many: false,
  what: `one of ${values.join(", ")}`,
  read: (written) => values.find((value) => value === written)
})
/** A parameter that may be repeated. @internal */
export const many = <A>(parameter: Parameter<A>): Parameter<A> & { readonly many: true } => ({
  ...parameter,
  many: true
})

type Read<P> = P extends { readonly many: true; readonly read: (written: string) => infer A | undefined }
  ? ReadonlyArray<A>
  : P extends { readonly read: (written: string) => infer A | undefined } ? A
  : never

/** The type of a query of these parameters. @internal */
export type Parameters<P> = { readonly [K in keyof P]?: Read<P[K]> }

/** @internal */
export const readQuery = <P extends Readonly<Record<string, Parameter<unknown>>>>(
  parameters: P,
  query: URLSearchParams,
  faults: Array<Fault>
): Parameters<P> => {
  const result: Record<string, unknown> = {}
  for (const key of new Set(query.keys())) {
    const parameter = Object.hasOwn(parameters, key) ? parameters[key] : undefined
    if (parameter === undefined) {
      faults.push({ field: key, message: "is not a known query parameter" })
      continue
    }
    const written = query.getAll(key)
    if (written.length > 1 && !parameter.many) faults.push({ field: key, message: "may be given once" })
    const values = written.map((one) => parameter.read(one))
    if (values.includes(undefined)) faults.push({ field: key, message: `must be ${parameter.what}` })
    result[key] = parameter.many ? values : values[0]
  }
  return result as Parameters<P>
}
