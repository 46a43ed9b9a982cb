"""The gRPC API: binds transport-free handlers on proto messages to grpc.aio.

A handler takes a request message and returns a response message (or an asynchronous iterator of them) and raises
`klever.errors`. Authentication, deadlines, request ids, metrics and the mapping of errors happen once, in `binding`.
"""
