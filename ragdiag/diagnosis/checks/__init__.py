"""Named causes: why exactly a stage lost evidence, with the numbers that show it.

A verdict says *which stage*; a check looks at one lost unit and says *what is wrong there*:

    check.py      what a check is, and how it says that it cannot be made
    catalog.py    every code ``stage.cause``: what it means, and what to do about it
    bench.py      what checks measure with: exact scores, searches, texts embedded anew
    labels.py chunks.py
                  how evidence is marked; sizes and repeats of chunks
    places.py -> vectors.py; swaps.py -> meaning.py
                  where the chunk stands in the exact search; what its vector misses
    probes.py, arms.py, listings.py -> entries.py -> searches.py
                  what the index holds, and what it does with it
    order.py      the reranker's scores
    packing.py, repeats.py -> context.py
                  what the packer does with the top k
    observed.py   what the ledger and the re-runs saw, where no check says more
    examine.py    all checks over a diagnosis, and the cause that a verdict is then called by

A new check is one function and one `Check` in the module of its subject, and one entry in the catalog.
"""
