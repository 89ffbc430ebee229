"""Submit from a plain script, without an event loop: `conduit run examples/hello.py`, then this.

python examples/from_a_script.py
"""

from __future__ import annotations

from hello import hello

import conduit

future = hello.submit_sync("script")
print(future.job_id)
print(future.value_sync(timeout=30))

futures = conduit.submit_many_sync(hello, ["Ada", "Grace", "Edsger"])
print(conduit.gather_sync(*futures))
