"""The methods: each is one file, and obeys the protocol in `cmarr.methods.protocol`.

Adding a method is one file here and its last line, `METHOD = <the class>`.
"""
