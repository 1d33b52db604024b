export declare const usages: Readonly<Record<string, string>>
export declare const asksForHelp: (args: ReadonlyArray<string>) => boolean
