"""ragdiag: which stage of a RAG pipeline lost the evidence.

    pipeline = ragdiag.Pipeline(chunker=…, embedder=…, retriever=…, reranker=…, packer=…)
    diagnosis = ragdiag.diagnose(pipeline, documents, queries)
    diagnosis.losses      # what each stage lost; sums to 1 - recall
    diagnosis.failures    # every lost unit, with the stage that lost it
    diagnosis.explain(query_id)

The public names stand in ``__init__.pyi``; each is imported when it is first asked for, so that importing
this package is quick. Models, faiss, pandas and the like are imported by the functions that need them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
