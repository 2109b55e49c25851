"""Pictures and videos: the S3 store, signed URLs, and images that people send.

Not how they are rendered.
"""
