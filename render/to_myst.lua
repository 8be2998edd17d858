-- Turns the book's subset of Quarto markdown (CONTRIBUTING.md) into MyST, and refuses everything else.
-- Lines that begin with "%%% " are not MyST: convert.py reads them and takes them out.

local READER = 'markdown'
local WRITER = 'commonmark-smart+footnotes+pipe_tables+raw_html'
local CALLOUTS = { note = 'Note', tip = 'Tip', warning = 'Warning', important = 'Important' }
local ROLES = { fig = 'numref', tbl = 'numref', eq = 'eq' }
local NOT_TEXT = { '{{<', '{#', ':::', '?@', '@sec-', '@eq-', '@fig-', '@tbl-' }

local cell                        -- number of the notebook cell at hand
local convert_blocks, convert_inlines

local function refuse(message)
  io.stderr:write((cell and 'cell ' .. cell .. ': ' or '') .. message .. '\n')
  os.exit(1)
end

local function excerpt(element)
  local text = pandoc.utils.stringify(element)
  return '"' .. (utf8.len(text) > 40 and text:sub(1, utf8.offset(text, 40) - 1) .. '…' or text) .. '"'
end

local function raw_block(text) return pandoc.RawBlock('markdown', text) end
local function raw_inline(text) return pandoc.RawInline('markdown', text) end

-- Directives ---------------------------------------------------------------------------------------------------

local function option_lines(options)
  local lines = ''
  for _, option in ipairs(options) do
    lines = lines .. '\n:' .. option[1] .. ': ' .. pandoc.json.encode(tostring(option[2]))
  end
  return lines
end

local function longest_run(text, char)
  local longest = 2
  for run in text:gmatch(char .. '+') do longest = math.max(longest, #run) end
  return longest
end

local function directive(name, argument, options, content)
  local depth = 2
  pandoc.Blocks(content):walk { RawBlock = function(block)
    depth = math.max(depth, #(block.text:match('^:+') or ''))
  end }
  local fence = (':'):rep(depth + 1)
  local blocks = pandoc.Blocks { raw_block(fence .. '{' .. name .. '} ' .. argument .. option_lines(options) .. '\n') }
  blocks:extend(content)
  blocks:insert(raw_block(fence))
  return blocks
end

local function verbatim(name, argument, options, text)
  local fence = ('`'):rep(longest_run(text, '`') + 1)
  return raw_block(fence .. '{' .. name .. '} ' .. argument .. option_lines(options) .. '\n\n' .. text .. '\n' .. fence)
end

local function one_line(inlines)
  local document = pandoc.Pandoc { pandoc.Plain(inlines) }
  return (pandoc.write(document, WRITER, { wrap_text = 'none' }):gsub('%s+$', ''):gsub('%s*\n%s*', ' '))
end

local function title_line(markdown)
  return one_line(convert_inlines(pandoc.utils.blocks_to_inlines(pandoc.read(markdown, READER).blocks)))
end

-- Inlines ------------------------------------------------------------------------------------------------------

local inline = {}
for _, kind in ipairs { 'Emph', 'Strong', 'Space', 'SoftBreak', 'LineBreak', 'Quoted' } do
  inline[kind] = function() end
end

function inline.Str(str)
  for _, leak in ipairs(NOT_TEXT) do
    if str.text:find(leak, 1, true) then
      refuse('"' .. str.text .. '" was not understood: unsupported or misplaced markup')
    end
  end
end

function inline.Code(code)
  -- how pandoc reads a fence with {python}, which Quarto would execute
  if code.text:find('^{%a+}%s') then refuse('a cell to execute outside a notebook: ' .. code.text) end
end

function inline.Math(formula)
  if formula.mathtype == 'DisplayMath' then refuse('display maths must stand in a paragraph: ' .. formula.text) end
  if formula.text:find('`') then refuse('a backquote in maths: ' .. formula.text) end
  return raw_inline('{math}`' .. formula.text:gsub('%s*\n%s*', ' ') .. '`')
end

function inline.Link(link)
  if link.classes[1] or #link.attributes > 0 then refuse('a link with attributes: ' .. excerpt(link)) end
  link.target = link.target:gsub('%.qmd$', '.md'):gsub('%.ipynb$', '.md'):gsub('%.qmd#', '.md#'):gsub('%.ipynb#', '.md#')
  return link
end

function inline.Note(note)
  note.content = convert_blocks(note.content)
  return note
end

local function reference(citation)
  local id = citation.id
  local kind = id:match('^(%a+)%-')
  if citation.mode == 'SuppressAuthor' or citation.prefix[1] or citation.suffix[1] then
    refuse('@' .. id .. ': only the plain forms @key, [@key] and [@one; @two] are supported')
  end
  if kind == 'sec' then return '{numref}`%%' .. id .. '%%`' end
  return ROLES[kind] and '{' .. ROLES[kind] .. '}`' .. id .. '`'
end

function inline.Cite(cite)
  local references, keys = {}, {}
  for _, citation in ipairs(cite.citations) do
    local text = reference(citation)
    if text then references[#references + 1] = text else keys[#keys + 1] = citation.id end
  end
  if #references > 0 and #keys > 0 then refuse('references and citations in one bracket: ' .. excerpt(cite)) end
  if #references > 0 then return raw_inline(table.concat(references, ', ')) end
  local role = cite.citations[1].mode == 'AuthorInText' and 'cite:t' or 'cite:p'
  return raw_inline('{' .. role .. '}`' .. table.concat(keys, ',') .. '`')
end

local function unsupported_inline(element)
  local text = element.text or pandoc.utils.stringify(element)
  refuse('unsupported ' .. element.t .. ' in the text: ' .. text)
end

function convert_inlines(inlines)
  -- from the top down, so that a citation is seen before the text that stands for it
  return inlines:walk { traverse = 'topdown', Inline = function(element)
    local converted = (inline[element.t] or unsupported_inline)(element)
    if element.t == 'Cite' or element.t == 'Math' or element.t == 'Note' then return converted, false end
    return converted
  end }
end

-- Blocks -------------------------------------------------------------------------------------------------------

local block = {}

local function trimmed(inlines)
  local function is_blank(element) return element and (element.t == 'Space' or element.t == 'SoftBreak') end
  while is_blank(inlines[1]) do inlines:remove(1) end
  while is_blank(inlines[#inlines]) do inlines:remove(#inlines) end
  return inlines
end

local function equation(formula, label)
  return verbatim('math', '', label and { { 'label', label } } or {}, formula.text:gsub('^%s+', ''):gsub('%s+$', ''))
end

function block.Para(paragraph)
  local blocks, text = pandoc.Blocks {}, pandoc.Inlines {}
  local function end_text()
    if trimmed(text)[1] then blocks:insert(pandoc.Para(convert_inlines(text))) end
    text = pandoc.Inlines {}
  end
  local content, i = paragraph.content, 1
  while i <= #content do
    local element, space, label = content[i], content[i + 1], content[i + 2]
    if element.t == 'Math' and element.mathtype == 'DisplayMath' then
      end_text()
      label = space and space.t == 'Space' and label and label.t == 'Str' and label.text:match('^{#(eq%-[%w_-]+)}$')
      blocks:insert(equation(element, label))
      if label then i = i + 2 end
    else
      text:insert(element)
    end
    i = i + 1
  end
  end_text()
  return blocks
end

function block.Plain(plain)
  local blocks = block.Para(plain)
  if #blocks == 1 and blocks[1].t == 'Para' then return { pandoc.Plain(blocks[1].content) } end
  return blocks
end

local function convert_items(list)
  list.content = list.content:map(convert_blocks)
  return { list }
end
block.BulletList, block.OrderedList = convert_items, convert_items

function block.BlockQuote(quote)
  return { pandoc.BlockQuote(convert_blocks(quote.content)) }
end

function block.CodeBlock(code)
  if #code.classes > 1 or #code.attributes > 0 or (code.classes[1] or ''):find('^{') then
    refuse('a code block may have a language and nothing else: ' .. excerpt(code))
  end
  return { verbatim('code-block', code.classes[1] or 'none', {}, code.text) }
end

local function figure(picture, options, caption)
  local by_name = {}
  for _, option in ipairs(options) do by_name[option[1]] = option[2] end
  if not (by_name.alt or ''):find('%S') then refuse('the figure ' .. picture .. ' has no text alternative (fig-alt)') end
  if not by_name.name then return directive('image', picture, options, {}) end
  if not by_name.name:find('^fig%-') then refuse('the label of a figure begins with fig-: ' .. by_name.name) end
  return directive('figure', picture, options, convert_blocks(caption))
end

function block.Figure(element)
  local image = element.content[1] and element.content[1].content[1]
  if not image or image.t ~= 'Image' then refuse('a figure that is not one picture: ' .. excerpt(element)) end
  local id = element.identifier ~= '' and element.identifier or image.identifier
  if not id:find('^fig%-') then refuse('a figure needs a label, {#fig-…}: ' .. image.src) end
  local blocks = pandoc.Blocks { raw_block('%%% picture ' .. image.src) }
  blocks:extend(figure(image.src, { { 'name', id }, { 'alt', image.attributes['fig-alt'] or '' } }, element.caption.long))
  return blocks
end

function block.Table(element)
  for i, spec in ipairs(element.colspecs) do element.colspecs[i] = { spec[1] } end
  local id, caption = element.identifier, element.caption.long
  element.caption = pandoc.Caption()
  element = element:walk {
    Plain = function(cell_text) return pandoc.Plain(convert_inlines(cell_text.content)) end,
    Para = function(cell_text) refuse('a table cell with more than a line: ' .. excerpt(cell_text)) end,
  }:walk {
    RawInline = function(role) return raw_inline((role.text:gsub('|', '\\|'))) end,
    Code = function(code) return code.text:find('|') and raw_inline('`' .. code.text:gsub('|', '\\|') .. '`') end,
  }
  if id == '' and caption[1] then refuse('a table with a caption needs a label, {#tbl-…}: ' .. excerpt(caption)) end
  if id == '' then return { element } end
  if not id:find('^tbl%-') then refuse('the label of a table begins with tbl-: ' .. id) end
  if not caption[1] then refuse(id .. ' has no caption') end
  local title = one_line(convert_inlines(pandoc.utils.blocks_to_inlines(caption)))
  element.identifier = ''
  return directive('table', title, { { 'name', id } }, { element })
end

function block.RawBlock(element)
  if element.format == 'html' and element.text:match('^<!%-%-.*%-%->%s*$') then return {} end
  if element.format ~= 'cell' then
    refuse('raw ' .. element.format .. ' is not supported: ' .. element.text:match('^[^\n]*'))
  end
  local content = pandoc.json.decode(element.text, false)
  cell = content.number
  local blocks = pandoc.Blocks { raw_block('%%% cell ' .. cell) }
  if content.outputs then blocks:extend(block.cell(content)) end
  return blocks
end

local function output_blocks(output, options)
  if output.markdown then
    return directive('container', 'cell-output', {}, convert_blocks(pandoc.read(output.markdown, READER).blocks))
  end
  if output.picture then
    local attributes = { { 'alt', options['fig-alt'] or '' } }
    for _, key in ipairs { 'width', 'height' } do
      if output[key] then table.insert(attributes, { key, output[key] }) end
    end
    if options.label then table.insert(attributes, { 'name', options.label }) end
    return figure(output.picture, attributes, pandoc.read(options['fig-cap'] or '', READER).blocks)
  end
  local class = output.error and 'cell-output cell-error' or 'cell-output'
  local text = (output.error or output.text):gsub('%s+$', '')
  return { verbatim('code-block', 'none', { { 'class', class } }, text) }
end

function block.cell(content)
  local blocks, options, pictures = pandoc.Blocks {}, content.options, 0
  if content.code and content.code ~= '' then
    local code = { verbatim('code-block', 'python', { { 'class', 'cell-code' } }, content.code) }
    if options['code-fold'] then
      code = directive('dropdown', title_line(options['code-summary'] or 'Code'), { { 'class-container', 'code-fold' } }, code)
    end
    blocks:extend(code)
  end
  for _, output in ipairs(content.outputs) do
    if output.picture then pictures = pictures + 1 end
    blocks:extend(output_blocks(output, options))
  end
  if not options.label ~= not options['fig-cap'] then refuse('a figure needs both a label and a fig-cap') end
  if options.label and pictures == 0 then refuse(options.label .. ' has no stored picture') end
  return blocks[1] and directive('container', 'cell', {}, blocks) or blocks
end

function block.Header(header)
  if header.classes[1] or #header.attributes > 0 then refuse('a heading with attributes: ' .. excerpt(header)) end
  if header.level == 1 then refuse('a second title (a heading of the first level): ' .. excerpt(header)) end
  local id = header.identifier
  local plain = pandoc.Header(header.level, convert_inlines(header.content))
  return id:find('^sec%-') and { raw_block('(' .. id .. ')='), plain } or { plain }
end

local function title_blocks(header)
  if not header or header.t ~= 'Header' or header.level ~= 1 then
    refuse('begins without its title, a heading of the first level')
  end
  local numbered = not header.classes:includes('unnumbered')
  if #header.classes > (numbered and 0 or 1) then refuse('a title with unknown attributes: ' .. excerpt(header)) end
  header.content:walk { Math = function() refuse('maths in a title: ' .. excerpt(header)) end }
  header.classes, header.level = {}, 2
  local blocks = pandoc.Blocks(block.Header(header))
  blocks[#blocks].level = 1
  local facts = pandoc.json.encode { label = header.identifier, numbered = numbered }
  blocks:insert(raw_block('%%% title ' .. facts))
  return blocks
end

-- Divs ---------------------------------------------------------------------------------------------------------

local function callout(div, kind)
  local title, collapse = div.attributes.title or CALLOUTS[kind], div.attributes.collapse
  for key in pairs(div.attributes) do
    if key ~= 'title' and key ~= 'collapse' then refuse('a callout with the attribute ' .. key) end
  end
  local name, classes = 'admonition', 'callout callout-' .. kind
  if collapse == 'true' then name = 'dropdown' end
  if collapse and collapse ~= 'true' then refuse('collapse="' .. collapse .. '"; only "true" is supported') end
  local option = name == 'dropdown' and 'class-container' or 'class'
  return directive(name, title_line(title), { { option, classes } }, convert_blocks(div.content))
end

local function tabset(div)
  local tabs = {}
  for _, element in ipairs(div.content) do
    if element.t == 'Header' then
      tabs[#tabs + 1] = { title = one_line(convert_inlines(element.content)), content = pandoc.Blocks {} }
    elseif #tabs > 0 then
      tabs[#tabs].content:insert(element)
    elseif element.t ~= 'RawBlock' or pandoc.json.decode(element.text, false).outputs then
      refuse('a panel-tabset begins with the heading of its first tab')
    end
  end
  local blocks = pandoc.Blocks {}
  for _, tab in ipairs(tabs) do blocks:extend(directive('tab-item', tab.title, {}, convert_blocks(tab.content))) end
  return directive('tab-set', '', {}, blocks)
end

local function explorable(div)
  for key in pairs(div.attributes) do
    if key ~= 'data-explore' then refuse('an explorable with the attribute ' .. key) end
  end
  local name = div.attributes['data-explore'] or ''
  if not name:find('^[%w-]+$') then refuse('an explorable without a name, data-explore="…"') end
  return directive('explorable', name, {}, convert_blocks(div.content))
end

function block.Div(div)
  if div.identifier == 'refs' then return { raw_block('```{bibliography}\n```') } end
  local class = div.classes[1] or ''
  if #div.classes == 1 and class == 'explorable' then return explorable(div) end
  local kind = class:match('^callout%-(%a+)$')
  if #div.classes == 1 and CALLOUTS[kind] then return callout(div, kind) end
  if #div.classes ~= 1 or #div.attributes > 0 then class = '' end
  if class == 'panel-tabset' then return tabset(div) end
  if class == 'column-margin' then return directive('margin', '', {}, convert_blocks(div.content)) end
  refuse('unsupported div: ::: {.' .. table.concat(div.classes, ' .') .. '}')
end

local depth = 0
function convert_blocks(blocks)
  depth = depth + 1
  local converted = pandoc.Blocks {}
  for _, element in ipairs(blocks) do
    if element.t == 'Header' and depth > 1 then refuse('a heading inside a div, a list or a quotation: ' .. excerpt(element)) end
    local convert = block[element.t] or function() refuse('unsupported ' .. element.t .. ': ' .. excerpt(element)) end
    converted:extend(convert(element))
  end
  depth = depth - 1
  return converted
end

function Pandoc(document)
  for key in pairs(document.meta) do refuse('front matter is not supported: ' .. key) end
  local blocks = document.blocks
  local head = pandoc.Blocks {}
  if blocks[1] and blocks[1].t == 'RawBlock' then head:extend(convert_blocks { blocks:remove(1) }) end
  head:extend(title_blocks(blocks[1] and blocks:remove(1)))
  head:extend(convert_blocks(blocks))
  return pandoc.Pandoc(head)
end
