-- Sends the requests of a file in turn: a line each, "METHOD path token", and the body of POSTs.
local requests, at = {}, 0

function init(args)
   local body = io.open(args[2]):read("*a")
   for line in io.lines(args[1]) do
      local method, path, token = line:match("(%S+) (%S+) (%S+)")
      local headers = { ["Authorization"] = "Bearer " .. token }
      if method == "POST" then headers["Content-Type"] = "application/json" end
      requests[#requests + 1] = wrk.format(method, path, headers, method == "POST" and body or nil)
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format('\n{"requests": %d, "seconds": %f, "failed": %d, "p99_ms": %f}\n',
      summary.requests, summary.duration / 1e6, failed, latency:percentile(99) / 1e3))
end
