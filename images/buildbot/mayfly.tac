# What twistd runs: the worker, with its password from descriptor 3.
import os

from buildbot_worker.bot import Worker
from twisted.application import service

with os.fdopen(3) as pipe:
    password = pipe.readline().strip()
application = service.Application("buildbot-worker")
# Without its master it ends instead of waiting for it: this builder can be of use to nobody else.
Worker(os.environ["BUILDMASTER"], int(os.environ["BUILDMASTER_PORT"]), os.environ["WORKERNAME"], password, os.getcwd(),
       60, umask=None, maxdelay=5, numcpus=None, allow_shutdown=None, maxRetries=5).setServiceParent(application)
