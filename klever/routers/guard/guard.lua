-- Refuses inference requests that would end a Triton server. Envoy's Lua filter runs it on routes whose target needs
-- it, with `local REQUEST_BYTES, MEMORY_BYTES = …` in front. The buffer filter comes before it and holds a request until it
-- is whole; a gRPC stream has no buffer filter, and its messages are held here.
--
-- Triton 2.51 ends, or takes memory without bound, on shapes larger than their data, deep JSON, the parameter
-- `classification`, compressed bodies and a wrong length of the JSON part. The check reads each request once.
-- It must never see less than Triton's own parsers do: where it is in doubt, it refuses.

local buffer = require("string.buffer")
local byte, find = string.byte, string.find

local SERVICE = "/inference.GRPCInferenceService/"
local MAX_DEPTH = 64
local MAX_MEMBERS = 1000
local EXTRA_ELEMENTS = 1048576
local EMPTY_MESSAGE = "\0\0\0\0\0"
local MINUS_ONE = "^" .. ("\255"):rep(9) .. "\1"

-- Ends the check. A refusal is a table, an error of the script a string.
local function refuse(message)
  error({ message = message }, 0)
end

-- Counts the elements of all shapes of a request. An element takes at least one byte of the request, so no honest
-- request has more elements than bytes; the extra ones let Triton tell small mistakes itself.
local function counter(bytes)
  local left = bytes + EXTRA_ELEMENTS
  return function(elements)
    left = left - elements
    if not (left >= 0) then
      refuse("invalid shape: the shapes have more elements than the request has data")
    end
  end
end

-- Returns functions to call at the start of an object or array, and at each of its keys. Triton looks members up by
-- name, one after another, so the members of an object cost their square. One object may have MAX_MEMBERS, and all
-- objects of a request together may cost what two of that size cost.
local function member_counter()
  local members, left = {}, MAX_MEMBERS * (MAX_MEMBERS + 1)
  local function open(depth)
    members[depth] = 0
  end
  local function add(depth)
    local count = (members[depth] or 0) + 1
    members[depth] = count
    left = left - count
    if count > MAX_MEMBERS then
      refuse("invalid JSON: an object has more than " .. MAX_MEMBERS .. " members")
    elseif left < 0 then
      refuse("invalid JSON: too many objects have many members: at most two may have " .. MAX_MEMBERS)
    end
  end
  return open, add
end

-- JSON ---------------------------------------------------------------------------------------------------------------

-- Returns the position of the closing quote, and whether an escape hides an ASCII letter.
local function string_end(text, position, last)
  local hidden = false
  while position <= last do
    local c = byte(text, position)
    if c == 34 then
      return position, hidden
    elseif c == 92 then -- a backslash
      if byte(text, position + 1) == 117 and byte(text, position + 2) == 48 and byte(text, position + 3) == 48 then
        local digit = byte(text, position + 4) or 0
        hidden = hidden or (digit >= 52 and digit <= 55) -- \u0040 to \u007f
      end
      position = position + 2
    else
      position = position + 1
    end
  end
  refuse("invalid JSON: a string does not end")
end

local function after_space(text, position)
  local c = byte(text, position)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    position = position + 1
    c = byte(text, position)
  end
  return position
end

-- Returns the product of the sizes in `[2, 3]`, where 0 and -1 count as 1, and the position behind it.
-- What is not an array is left to Triton.
local function json_shape(text, position, last)
  if byte(text, position) ~= 91 then
    return 1, position
  end
  local product, size, negative, digits = 1, 0, false, false
  for at = position + 1, last do
    local c = byte(text, at)
    if c >= 48 and c <= 57 then
      size, digits = size * 10 + (c - 48), true
    elseif c == 45 then -- a minus
      negative = true
    elseif c == 44 or c == 93 or c == 32 or c == 10 or c == 13 or c == 9 then
      if digits then
        if negative and size ~= 1 then
          refuse("invalid shape: a size must not be negative")
        end
        product = product * math.max(size, 1)
        size, negative, digits = 0, false, false
      end
      if c == 93 then
        return product, at + 1
      end
    else
      refuse("invalid shape: must be an array of integers")
    end
  end
  refuse("invalid JSON: an array does not end")
end

-- Checks `text` up to `last`. The keys of an infer request mean something; those of generate are names of tensors.
local function check_json(text, last, infer)
  local count = counter(#text)
  local open, add_member = member_counter()
  local depth, position = 0, 1
  while position <= last do
    local c = byte(text, position)
    position = position + 1
    if c == 34 then
      local first = position
      local stop, hidden = string_end(text, first, last)
      position = after_space(text, stop + 1)
      local key = position <= last and byte(text, position) == 58 -- a colon
      if key then
        add_member(depth)
      end
      if key and infer then
        if hidden then
          refuse("invalid key: letters must not be escaped")
        elseif stop - first == 14 and find(text, "^classification", first) then
          refuse("invalid parameter: classification is not supported")
        elseif stop - first == 5 and find(text, "^shape", first) then
          local elements
          elements, position = json_shape(text, after_space(text, position + 1), last)
          count(elements)
        end
      end
    elseif c == 91 or c == 123 then
      depth = depth + 1
      if depth > MAX_DEPTH then
        refuse("invalid JSON: nested more than " .. MAX_DEPTH .. " levels deep")
      end
      open(depth)
    elseif c == 93 or c == 125 then
      depth = depth - 1
    end
  end
end

local function check_http(path, length, body)
  local infer = find(path, "/infer$") ~= nil
  local last = #body
  if infer and length then
    last = #length <= 10 and find(length, "^%d+$") and tonumber(length)
    if not last or last > #body then
      refuse("invalid Inference-Header-Content-Length: must be a number of bytes, at most those of the body")
    end
  end
  check_json(body, last, infer)
end

-- Protocol buffers ---------------------------------------------------------------------------------------------------

-- Returns the unsigned value, rounded above 2^53, and the position behind it.
local function varint(text, position, last)
  local value, unit = 0, 1
  for at = position, math.min(position + 9, last) do
    local c = byte(text, at)
    value = value + (c % 128) * unit
    if c < 128 then
      return value, at + 1
    end
    unit = unit * 128
  end
  refuse("invalid message: a number does not end")
end

-- Returns number and wire type of the field at `position`, and the first and last positions of its content.
local function field(text, position, last)
  local key, first = varint(text, position, last)
  if key >= 4294967296 then
    refuse("invalid message: a field has no valid number")
  end
  local wire, stop = key % 8, 0
  if wire == 0 then
    local _, behind = varint(text, first, last)
    stop = behind - 1
  elseif wire == 1 then
    stop = first + 7
  elseif wire == 5 then
    stop = first + 3
  elseif wire == 2 then
    local length
    length, first = varint(text, first, last)
    stop = first + length - 1
  else
    refuse("invalid message: a field has no valid type")
  end
  if stop > last then
    refuse("invalid message: a field does not end")
  end
  return (key - wire) / 8, wire, first, stop
end

-- Returns the product of the sizes from `position` to `last`, where 0 and -1 count as 1.
local function varint_shape(text, position, last)
  local product = 1
  while position <= last do
    local size, behind = varint(text, position, last)
    if size >= 9223372036854775808 and not find(text, MINUS_ONE, position) then
      refuse("invalid shape: a size must not be negative")
    end
    product = product * (size >= 9223372036854775808 and 1 or math.max(size, 1))
    position = behind
  end
  return product
end

-- ModelInferRequest.InferInputTensor: `repeated int64 shape = 3`, packed or not.
local function check_input(text, position, last, count)
  local elements = 1
  while position <= last do
    local number, wire, first, stop = field(text, position, last)
    if number == 3 and (wire == 0 or wire == 2) then
      elements = elements * varint_shape(text, first, stop)
    end
    position = stop + 1
  end
  count(elements)
end

-- ModelInferRequest.InferRequestedOutputTensor: `map<string, InferParameter> parameters = 2`.
local function check_output(text, position, last, inside_entry)
  while position <= last do
    local number, wire, first, stop = field(text, position, last)
    if inside_entry then
      if number == 1 and wire == 2 and stop - first == 13 and find(text, "^classification", first) then
        refuse("invalid parameter: classification is not supported")
      end
    elseif number == 2 and wire == 2 then
      check_output(text, first, stop, true)
    end
    position = stop + 1
  end
end

-- ModelInferRequest: `repeated InferInputTensor inputs = 5`, `repeated InferRequestedOutputTensor outputs = 6`.
local function check_model_infer(text, position)
  local last = #text
  local count = counter(last)
  while position <= last do
    local number, wire, first, stop = field(text, position, last)
    if number == 5 and wire == 2 then
      check_input(text, first, stop, count)
    elseif number == 6 and wire == 2 then
      check_output(text, first, stop, false)
    end
    position = stop + 1
  end
end

-- gRPC: five bytes, which are 1 for a compressed message and the length, before each message. --------------------------

local function message_length(head)
  local _, a, b, c, d = byte(head, 1, 5)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function check_grpc(path, body)
  if #body < 5 or byte(body, 1) ~= 0 or message_length(body) ~= #body - 5 then
    refuse("invalid request: must be one message that is not compressed")
  end
  if path == SERVICE .. "ModelInfer" then
    check_model_infer(body, 6)
  end
end

-- Says whether all scripts of this thread hold too much. Envoy's own limit does not see their memory.
local function out_of_memory()
  if collectgarbage("count") * 1024 <= MEMORY_BYTES then
    return false
  end
  collectgarbage()
  return collectgarbage("count") * 1024 > MEMORY_BYTES
end

-- Returns a function that takes the bytes of a stream as they come and returns those to send on: whole messages. An
-- empty message stands for one that is refused, and Triton answers it with an error.
local function message_filter()
  local held, head, length, skipped = buffer.new(), nil, 0, 0
  return function(bytes)
    held:put(bytes)
    local passed = buffer.new()
    if head and #held < length and out_of_memory() then
      passed:put(EMPTY_MESSAGE)
      head, skipped = nil, length - #held
      held:free()
    end
    while true do
      if skipped > 0 then
        local dropped = math.min(skipped, #held)
        held:skip(dropped)
        skipped = skipped - dropped
      end
      if not head and #held >= 5 and skipped == 0 then
        head = held:get(5)
        length = message_length(head)
        if byte(head, 1) ~= 0 or length > REQUEST_BYTES then
          passed:put(EMPTY_MESSAGE)
          head, skipped = nil, length
        end
      elseif head and #held >= length then
        local message = held:get(length)
        local good = pcall(check_model_infer, message, 1)
        passed:put(good and head or EMPTY_MESSAGE, good and message or "")
        head = nil
      elseif skipped == 0 or #held == 0 then
        return passed:get()
      end
    end
  end
end

local function guard_stream(handle)
  local filter = message_filter()
  for chunk in handle:bodyChunks() do
    local read, passed = pcall(function()
      return filter(chunk:getBytes(0, chunk:length()))
    end)
    if not read then
      handle:logErr("guard: " .. tostring(passed))
    end
    chunk:setBytes(read and passed or "")
  end
end

-- Requests -----------------------------------------------------------------------------------------------------------

local function guard(handle, path)
  -- Headers cannot be read any more once the body has come.
  local headers = handle:headers()
  local encoding = headers:get("content-encoding")
  local length = headers:get("inference-header-content-length")
  local grpc = find(path, SERVICE, 1, true) == 1
  if encoding and encoding ~= "identity" then
    refuse("invalid Content-Encoding: the body must not be compressed")
  end
  local body = handle:body()
  if not body then
    return
  end
  body = body:getBytes(0, body:length())
  if grpc then
    check_grpc(path, body)
  else
    check_http(path, length, body)
  end
end

local function answer(handle, grpc, failure)
  local refused = type(failure) == "table"
  local message = refused and failure.message or "the request cannot be checked"
  if not refused then
    handle:logErr("guard: " .. tostring(failure))
  end
  if grpc then
    handle:respond({ [":status"] = "200", ["grpc-status"] = refused and "3" or "13" }, message)
  else
    local status = refused and "400" or "500"
    handle:respond({ [":status"] = status, ["content-type"] = "application/json" }, '{"error":"' .. message .. '"}')
  end
end

function envoy_on_request(handle)
  local path = handle:headers():get(":path"):match("^[^?]*")
  if path == SERVICE .. "ServerMetadata" or find(path, "/v2/?$") then
    handle:streamInfo():dynamicMetadata():set("klever", "server_metadata", true)
  end
  if path == SERVICE .. "ModelStreamInfer" then
    guard_stream(handle)
    return
  end
  local good, failure = pcall(guard, handle, path)
  if not good then
    answer(handle, find(path, SERVICE, 1, true) == 1, failure)
  end
end

-- Responses ----------------------------------------------------------------------------------------------------------

-- Triton answers 500, and gRPC INTERNAL, to a request that it cannot parse. That is the client's mistake: 400, and
-- INVALID_ARGUMENT.
local UNPARSED = {
  "failed to parse ", "Unable to parse ", "failed to get request params", "attempt to ", "Expected JSON ",
}

-- Extensions of Triton whose interfaces are not published, or whose requests the guard refuses.
local UNREACHABLE = {
  ["classification"] = true, ["model_repository"] = true, ["model_repository(unload_dependents)"] = true,
  ["system_shared_memory"] = true, ["cuda_shared_memory"] = true, ["trace"] = true, ["logging"] = true,
}

-- Returns a server's metadata in JSON without the unreachable extensions.
local function reachable_json(text)
  return (text:gsub('"extensions":%s*%[(.-)%]', function(names)
    local kept = {}
    for name in names:gmatch('"(.-)"') do
      kept[#kept + 1] = not UNREACHABLE[name] and '"' .. name .. '"' or nil
    end
    return '"extensions":[' .. table.concat(kept, ",") .. "]"
  end))
end

local function message_head(length)
  return string.char(0, math.floor(length / 16777216), math.floor(length / 65536) % 256,
    math.floor(length / 256) % 256, length % 256)
end

-- The same for a ServerMetadataResponse in its frame of gRPC: `repeated string extensions = 3`.
local function reachable_grpc(body)
  local kept, position = {}, 6
  while position <= #body do
    local number, _, first, stop = field(body, position, #body)
    if number ~= 3 or not UNREACHABLE[body:sub(first, stop)] then
      kept[#kept + 1] = body:sub(position, stop)
    end
    position = stop + 1
  end
  local message = table.concat(kept)
  return message_head(#message) .. message
end

local function list_reachable(handle)
  local grpc = handle:headers():get("content-type") == "application/grpc"
  local body = handle:body()
  if not body then
    return
  end
  local read, text = pcall(grpc and reachable_grpc or reachable_json, body:getBytes(0, body:length()))
  if not read then
    handle:logErr("guard: " .. tostring(text.message or text))
    return
  end
  local length = body:setBytes(text)
  if not grpc then
    handle:headers():replace("content-length", length)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local asked = handle:streamInfo():dynamicMetadata():get("klever")
  if asked and asked.server_metadata and headers:get(":status") == "200" then
    list_reachable(handle)
  elseif headers:get("grpc-status") == "13" then
    if headers:get("grpc-message") == "Unable to parse request" then
      headers:replace("grpc-status", "3")
    end
  elseif headers:get(":status") == "500" then
    local body = handle:body()
    local text = body and body:getBytes(0, math.min(body:length(), 40)) or ""
    for _, words in ipairs(UNPARSED) do
      if find(text, '^{"error":"' .. words) then
        handle:headers():replace(":status", "400")
      end
    end
  end
end
