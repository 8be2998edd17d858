-- Typesets the tables that cells print, in both renderers: Quarto runs this file as a filter, and book.lua calls it.
-- A printed table has its columns at least two spaces apart. Its first line leaves the first column without a heading, or
-- names all of three columns or more. Columns are told apart by their places, as a reader does; lines that do not fit stay
-- as they were printed.

-- The cells of a line: the places of its first and last characters, and the text.
local function cells_of(line)
  local cells, at = {}, 1 + #line:match('^ *')
  for text, gap in (line:match('^ *(.*)$') .. '  '):gmatch('(.-)(%s%s+)') do
    local length = utf8.len(text)
    if length > 0 then table.insert(cells, { first = at, last = at + length - 1, text = text }) end
    at = at + length + #gap
  end
  return cells
end

-- `t = 3` may be a heading; other numbers are not.
local function is_header(line, cells)
  local words = line:gsub('%w+ = [%d.]+', '')
  return cells[1] and (cells[1].first > 1 or #cells > 2) and not words:find('%d%f[%s\0,]')
end

-- The column in which a cell lies; nothing if it lies in none, and false if in two.
local function column_of(cell, columns)
  local found
  for i, column in ipairs(columns) do
    if cell.first <= column.last and column.first <= cell.last then
      if found then return false end
      found = i
    end
  end
  return found
end

-- The columns of these lines of cells, from left to right; nil if one line's cell lies in two columns of another.
local function columns_of(lines)
  local columns = {}
  for _, cells in ipairs(lines) do
    local used = {}
    for _, cell in ipairs(cells) do
      local i = column_of(cell, columns)
      if i == false or used[i] then return nil end
      if i then
        columns[i].first, columns[i].last = math.min(columns[i].first, cell.first), math.max(columns[i].last, cell.last)
      else
        table.insert(columns, { first = cell.first, last = cell.last })
        i = #columns
      end
      used[i] = true
    end
  end
  table.sort(columns, function(a, b) return a.first < b.first end)
  for i = 2, #columns do
    if columns[i].first <= columns[i - 1].last then return nil end
  end
  return columns
end

-- The table that begins with the line at `start`: its lines of cells, its columns, and how many lines are headings; nil
-- if there is none. A line of headings may stand above another.
local function table_at(lines, start)
  local rows, heads, columns = {}, 1, nil
  for i = start, #lines do
    local cells = cells_of(lines[i])
    local is_heading = is_header(lines[i], cells)
    if i == start and not is_heading then return nil end
    if i == start + 1 and is_heading and math.min(cells[1].first, rows[1][1].first) > 1 then heads = 2 end
    local named = #rows >= heads and #rows[heads] + (rows[heads][1].first > 1 and 1 or 0)
    if named and #cells < math.min(3, named) then break end
    table.insert(rows, cells)
    columns = columns_of(rows)
    if not columns or named and #columns > named + 1 then return nil end
  end
  if #rows > heads then return rows, columns, heads end
end

local function typeset(rows, columns, heads)
  local aligns, widths, made = {}, {}, {}
  for i in ipairs(columns) do
    aligns[i], widths[i] = i == 1 and pandoc.AlignLeft or pandoc.AlignRight, 0
  end
  for _, cells in ipairs(rows) do
    local row = {}
    for i in ipairs(columns) do row[i] = {} end
    for _, cell in ipairs(cells) do row[column_of(cell, columns)] = { pandoc.Plain { pandoc.Str(cell.text) } } end
    table.insert(made, row)
  end
  local first = table.remove(made, 1)
  local set = pandoc.utils.from_simple_table(pandoc.SimpleTable({}, aligns, widths, first, made))
  if heads == 2 then set.head.rows:insert(table.remove(set.bodies[1].body, 1)) end
  set.classes = { 'table', 'printed' }
  return set
end

-- What a cell printed, as tables and as the lines between them.
local function blocks_of(text)
  local lines, blocks, between = {}, pandoc.Blocks {}, {}
  for line in (text .. '\n'):gmatch('(.-)\n') do table.insert(lines, line) end
  local function flush()
    local kept = table.concat(between, '\n'):gsub('^%s*\n', ''):gsub('%s+$', '')
    if kept ~= '' then blocks:insert(pandoc.CodeBlock(kept)) end
    between = {}
  end
  local i = 1
  while i <= #lines do
    local rows, columns, heads = table_at(lines, i)
    if rows then
      local title = #between > 0 and not between[#between]:find('^%s*$') and (#between == 1 or between[#between - 1] == '')
        and table.remove(between)
      flush()
      if title then blocks:insert(pandoc.Div({ pandoc.Plain { pandoc.Str(title) } }, { class = 'printed-title' })) end
      blocks:insert(typeset(rows, columns, heads))
      i = i + #rows
    else
      table.insert(between, lines[i])
      i = i + 1
    end
  end
  flush()
  return blocks
end

local function printed(div)
  if not div.classes:includes('cell-output-stdout') then return nil end
  return div:walk { CodeBlock = function(code) return blocks_of(code.text) end }
end

return { { Div = printed } }
