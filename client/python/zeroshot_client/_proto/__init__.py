"""The wire contract's messages, written by tools/make_python_stubs.py.

They are registered with protobuf as `zeroshot_client.v1`, so that a program may have stubs of
`zeroshot.v1` of its own beside them.
"""
