"""Named causes: why exactly a stage lost evidence, with the numbers that show it.

A verdict says *which stage*; a check looks at one lost unit and says *what is wrong there*:

    check.py      what a check is, and how it says that it cannot be made
    catalog.py    every code ``stage.cause``: what it means, and what to do about it
    bench.py      what checks measure with: exact scores, searches, texts embedded anew
    labels.py chunks.py vectors.py meaning.py searches.py order.py context.py
                  the checks themselves, by what they look at
    examine.py    all checks over a diagnosis, and the cause that a verdict is then called by

A new check is one function and one `Check` in the module of its subject, and one entry in the catalog.
"""
