/**
 * Reads every page of a collection as one list.
 *
 * The API counts pages at the time of each request. A thing that is added or deleted between two pages moves the others,
 * so one of them may be on no page that was read. The totals of the pages show this; the list is then read again.
 * Source: Hetzner Cloud API reference, "Pagination".
 */
import * as Effect from "effect/Effect"

/** One page, as far as the client reads it. */
export interface Page<A> {
  readonly found: ReadonlyArray<A>
  /** The number of the next page; undefined on the last one. */
  readonly next: number | undefined
  /** `total_entries`; undefined where the API does not send it. */
  readonly total: number | undefined
}

/** A Project in which things come and go all the time is read this often at most. */
const mostReads = 3

const idOf = (item: unknown): unknown => (item as { readonly id?: unknown }).id

/** Whether the pages of one read belong to the same list: equal totals, and as many different ids as the total says. */
const isOneList = <A>(pages: ReadonlyArray<Page<A>>, all: ReadonlyArray<A>): boolean => {
  if (pages.length < 2) return true
  const totals = new Set(pages.map(({ total }) => total))
  const [total] = totals
  if (totals.size > 1) return false
  return total === undefined || new Set(all.map(idOf)).size === total
}

/** Reads all pages with `read`. `first` is the first page where it is known already. */
export const readPages = Effect.fnUntraced(function*<A, E, R>(
  read: (page: number) => Effect.Effect<Page<A>, E, R>,
  first?: Page<A>
): Effect.fn.Return<ReadonlyArray<A>, E, R> {
  let known = first
  for (let reads = 1;; reads++) {
    const pages: Array<Page<A>> = []
    let next: number | undefined = 1
    while (next !== undefined) {
      const page: Page<A> = known ?? (yield* read(next))
      known = undefined
      pages.push(page)
      next = page.next
    }
    const all = pages.flatMap(({ found }) => found)
    if (reads === mostReads || isOneList(pages, all)) return all
  }
})
