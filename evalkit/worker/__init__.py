"""The program of a worker process: one Python object loaded, many calls to it answered.

Lines from the parent on a private pipe; the first is the target, as JSON, then:

    call ID PAYLOAD     call the object
    cancel ID           give up an async call
    ping                is anybody there?
    bye                 finish

Lines to the parent:

    ready - 0 DESCRIPTION         failed - 0 {"reasons", "detail"}
    spans ID 0 {"spans", "start_ns", "dropped", "cut"}    before the answer to a call that told of steps
    value ID SECONDS JSON         error ID SECONDS {"kind", "message", "detail"}
    pong - 0 null

stdout and stderr belong to the object: nothing printed there is taken for an answer.
"""
