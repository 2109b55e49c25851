"""The work around a render: claiming, renewing, publishing, cleaning up.

Not how a picture is made.
"""
