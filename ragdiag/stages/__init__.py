"""The plugs of a pipeline, in the order of the flow: chunkers, embedders, retrievers, rerankers, packers."""
