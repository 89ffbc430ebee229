import { expect, it } from "vitest";
import { parseTraceback, runs, shortPath } from "./traceback";

const CHAINED = `Traceback (most recent call last):
  File "/srv/shop/ledger.py", line 12, in open_ledger
    connect(host)
    ~~~~~~~^^^^^^
  File "/usr/lib/python3.11/socket.py", line 827, in create_connection
    raise error
ConnectionRefusedError: [Errno 111] refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/refund.py", line 40, in refund
    open_ledger()
  File "/srv/.venv/lib/python3.11/site-packages/lib/a.py", line 1, in <module>
  File "/srv/.venv/lib/python3.11/site-packages/lib/b.py", line 2, in b
    c()
RefundError: the ledger can't be reached
  File "not a frame", line 1
the order stays paid
`;

it("reads a chain of exceptions", () => {
  const chain = parseTraceback(CHAINED);
  expect(chain?.map(({ link, message }) => [link, message])).toEqual([
    [null, "ConnectionRefusedError: [Errno 111] refused"],
    ["cause", 'RefundError: the ledger can\'t be reached\n  File "not a frame", line 1\nthe order stays paid'],
  ]);
  expect(chain?.[0]?.frames).toEqual([
    { file: "/srv/shop/ledger.py", line: 12, name: "open_ledger", code: ["connect(host)", "~~~~~~~^^^^^^"], isLibrary: false },
    { file: "/usr/lib/python3.11/socket.py", line: 827, name: "create_connection", code: ["raise error"], isLibrary: true },
  ]);
  expect(runs(chain?.[1]?.frames ?? []).map((run) => [run.isLibrary, run.frames.length])).toEqual([[false, 1], [true, 2]]);
});

it("knows an exception raised while another was handled", () => {
  const text = 'Traceback (most recent call last):\n  File "a.py", line 1, in a\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File "a.py", line 3, in a\nValueError';
  expect(parseTraceback(text)?.map(({ link, message }) => [link, message])).toEqual([[null, "KeyError: 1"], ["context", "ValueError"]]);
});

it("takes one whose beginning was cut off", () => {
  const [raised] = parseTraceback('hop/refund.py", line 40, in refund\n'.slice(20) + "") ?? [];
  expect(raised).toBeUndefined();
  const [cut] = parseTraceback('    open_ledger()\n  File "a.py", line 1, in a\n    b()\nE: x') ?? [];
  expect([cut?.frames.length, cut?.message]).toEqual([1, "E: x"]);
});

it.each([
  ["nothing", ""],
  ["one line", "CardDeclinedError: card declined"],
  ["a group", "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in a\n  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------"],
  ["HTML", "<b>Traceback</b>"],
])("leaves %s as text", (_, text) => expect(parseTraceback(text)).toBeNull());

it("shortens paths", () => {
  expect([shortPath("/srv/.venv/lib/python3.11/site-packages/a/b.py"), shortPath("/usr/lib/python3.11/json/decoder.py"), shortPath("/srv/shop/pay/cards.py"), shortPath("/shop/pay/cards.py"), shortPath("a.py"), shortPath("C:\\srv\\shop\\pay\\cards.py")]).toEqual(["a/b.py", "json/decoder.py", "…/shop/pay/cards.py", "/shop/pay/cards.py", "a.py", "…/shop/pay/cards.py"]);
});
