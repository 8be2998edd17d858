-- Typesets the tables that cells print, in both renderers: Quarto runs this file as a filter, and book.lua calls it.
-- A printed table has its columns at least two spaces apart, under a line of headings, each of which overlaps what stands
-- below it. The first column has no heading, or else there are three or more. Text that is not all of this stays as it
-- was printed.

local LONGEST = 200 -- lines that are looked at

-- The cells of a line: the places of its first and last characters, and the text.
local function cells_of(line)
  local cells, at = {}, 1 + #line:match('^ *')
  for text, gap in (line:match('^ *(.*)$') .. '  '):gmatch('(.-)(  +)') do
    local length = utf8.len(text)
    if length > 0 then table.insert(cells, { first = at, last = at + length - 1, text = text }) end
    at = at + length + #gap
  end
  return cells
end

-- A number or what stands for one, or words with a number after a colon or with decimals. `t = 0.5` may be a heading.
local function is_value(text)
  local words = text:gsub('= [%d.]+', '')
  return words:find('^[+%-−≈(]*%s?%.?%d') or words:find('%d%.%d') or words:find(':', 1, true)
    or ({ nan = 1, inf = 1, True = 1, False = 1, None = 1 })[text]
end

local function is_header(cells)
  local has_corner = cells[1] and cells[1].first == 1
  if not cells[1] or has_corner and #cells < 3 then return false end
  for i = has_corner and 2 or 1, #cells do
    if is_value(cells[i].text) then return false end
  end
  return true
end

-- The columns, widened by the cells of one more line; nil if a cell lies in two columns, or two in one.
local function widened(columns, cells)
  local all, used = {}, {}
  for i, column in ipairs(columns) do all[i] = { first = column.first, last = column.last } end
  for _, cell in ipairs(cells) do
    local found
    for i, column in ipairs(columns) do
      if cell.first <= column.last and column.first <= cell.last then
        if found or used[i] then return nil end
        found = i
      end
    end
    if found then
      used[found] = true
      all[found].first, all[found].last = math.min(all[found].first, cell.first), math.max(all[found].last, cell.last)
    else
      table.insert(all, { first = cell.first, last = cell.last })
    end
  end
  table.sort(all, function(a, b) return a.first < b.first end)
  for i = 2, #all do
    if all[i].first <= all[i - 1].last then return nil end
  end
  return all
end

local function column_of(cell, columns)
  for i, column in ipairs(columns) do
    if column.first <= cell.first and cell.last <= column.last then return i end
  end
end

-- Whether each heading has something below it.
local function all_are_used(header, body, columns)
  local used = {}
  for _, cells in ipairs(body) do
    for _, cell in ipairs(cells) do used[column_of(cell, columns)] = true end
  end
  for _, cell in ipairs(header) do
    if not used[column_of(cell, columns)] then return false end
  end
  return true
end

-- The table that begins with the line at `start`: its lines of cells, its columns, and how many lines are headings; nil
-- if there is none. A line of headings may stand above another, each over the first of the columns that it names.
local function table_at(lines, start)
  local header, above = lines[start], lines[start - 1]
  if not is_header(header) or above and above[2] and above[1].first > 1 and is_header(above) then return nil end
  local heads, rows, columns = 1, { header }, widened({}, header)
  local second = lines[start + 1]
  if second and header[1].first > 1 and is_header(second) and second[1].first > 1 then
    heads, header, columns = 2, second, widened(columns, second)
    table.insert(rows, second)
  end
  local named = #header + (header[1].first > 1 and 1 or 0)
  for i = start + heads, #lines do
    local cells = lines[i]
    local wider = columns and widened(columns, cells)
    if #cells < math.min(3, named) then
      if wider and #cells > 1 and #wider == #columns then return nil end -- a row with holes
      break
    end
    if not wider or #wider > named + 1 then return nil end
    columns = wider
    table.insert(rows, cells)
  end
  if #rows > heads and all_are_used(header, { table.unpack(rows, heads + 1) }, columns) then return rows, columns, heads end
end

-- The text of a cell. A minus before a number is a long one, and leave-one-out, `L = 10` and `L[0, 0]` do not break.
local function typeset_text(text)
  local inlines = pandoc.Inlines {}
  text = text:gsub('%f[%w-]%-(%.?%d)', '−%1'):gsub(' = ', '\0=\0')
  text = text:gsub('%w%b[]', function(indexed) return (indexed:gsub(' ', '\0')) end)
  for space, word in text:gmatch('(%s*)(%S+)') do
    if space ~= '' then inlines:insert(pandoc.Space()) end
    local is_whole = word:find('%a%-%a') or word:find('\0')
    word = word:gsub('\0', ' ')
    inlines:insert(is_whole and pandoc.Span({ pandoc.Str(word) }, { class = 'whole' }) or pandoc.Str(word))
  end
  return pandoc.Plain(inlines)
end

local function row_of(cells, columns)
  local texts, row = {}, pandoc.Row {}
  for _, cell in ipairs(cells) do texts[column_of(cell, columns)] = cell.text end
  for i in ipairs(columns) do
    row.cells:insert(pandoc.Cell(texts[i] and { typeset_text(texts[i]) } or {}))
  end
  return row
end

-- Headings above others, each as wide as the columns up to the next one.
local function upper_row(cells, columns)
  local row = pandoc.Row {}
  for i, cell in ipairs(cells) do
    local from, to = column_of(cell, columns), cells[i + 1] and column_of(cells[i + 1], columns) or #columns + 1
    if i == 1 and from > 1 then row.cells:insert(pandoc.Cell({}, pandoc.AlignDefault, 1, from - 1)) end
    row.cells:insert(pandoc.Cell({ typeset_text(cell.text) }, pandoc.AlignCenter, 1, to - from))
  end
  return row
end

local function typeset(rows, columns, heads)
  local head, body, specs = {}, {}, {}
  for i in ipairs(columns) do specs[i] = { i == 1 and pandoc.AlignLeft or pandoc.AlignRight, nil } end
  for i, cells in ipairs(rows) do
    local row = heads == 2 and i == 1 and upper_row(cells, columns) or row_of(cells, columns)
    table.insert(i <= heads and head or body, row)
  end
  local bodies = { { attr = pandoc.Attr(), body = body, head = {}, row_head_columns = 1 } } -- the names of rows are headings
  local set = pandoc.Table({ long = {} }, specs, pandoc.TableHead(head), bodies, pandoc.TableFoot())
  set.classes = { 'table', 'printed' }
  return pandoc.Div({ set }, { class = 'float-content' }) -- the box that scrolls
end

-- What a cell printed, as tables and as the lines between them; nil if it has no table.
local function blocks_of(code)
  local texts, lines, blocks, between = {}, {}, pandoc.Blocks {}, {}
  for line in (code.text .. '\n'):gmatch('(.-)\n') do
    table.insert(texts, line)
    table.insert(lines, cells_of(line))
  end
  if #texts > LONGEST or code.text:find('\t') then return nil end
  local function flush()
    local kept = table.concat(between, '\n'):gsub('^%s*\n', ''):gsub('%s+$', '')
    if kept ~= '' then blocks:insert(pandoc.CodeBlock(kept, code.attr)) end
    between = {}
  end
  local i, found = 1, false
  while i <= #lines do
    local rows, columns, heads = table_at(lines, i)
    if rows then
      found = true
      local is_title = #between > 0 and #lines[i - 1] == 1 and (#between == 1 or #lines[i - 2] == 0)
      local title = is_title and table.remove(between)
      flush()
      if title then blocks:insert(pandoc.Div({ pandoc.Plain { pandoc.Str(title) } }, { class = 'printed-title' })) end
      blocks:insert(typeset(rows, columns, heads))
      i = i + #rows
    else
      table.insert(between, texts[i])
      i = i + 1
    end
  end
  flush()
  return found and blocks or nil
end

local function printed(div)
  if not div.classes:includes('cell-output-stdout') then return nil end
  return div:walk { CodeBlock = blocks_of }
end

return { { Div = printed } }
