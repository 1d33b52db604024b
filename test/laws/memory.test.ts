/** The laws over `Memory`, on simulated time: once with calls that take none, once with calls that take some. */
import * as Memory from "kubelayer/layers/Memory"
import { MemoryHarness } from "kubelayer/testing"
import { describeLaws } from "kubelayer/testing/vitest"
import { describe, it } from "vitest"

const secrets = ["a-credential-that-nobody-shows"]

describeLaws({ describe, it }, {
  name: "Memory",
  layer: Memory.layer(),
  harness: MemoryHarness.layer({ secrets }),
  capabilities: [...MemoryHarness.capabilities, "secrets"],
  time: "simulated"
})

describeLaws({ describe, it }, {
  name: "a slow Memory",
  layer: Memory.layer({ latency: "20 millis" }),
  harness: MemoryHarness.layer({ secrets, patience: "1 second" }),
  capabilities: [...MemoryHarness.capabilities, "secrets"],
  time: "simulated"
})
