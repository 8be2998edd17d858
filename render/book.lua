-- Turns the book's subset of Quarto markdown (CONTRIBUTING.md) into the HTML of its pages, and refuses everything else.
-- `pandoc lua book.lua` reads lines of JSON and answers in such lines. To a request, {pages, bibliography, explorables,
-- cell}, it says what other pages may show of each page, namely number, targets and sources. To a line with the same of
-- the pages that are made `elsewhere`, by another process, it answers {errors, pages}.
-- A page with `known`, an earlier answer on it, is not made again: others only refer to it.
-- The HTML has the elements and the class names of Quarto's pages, so that one style sheet serves both.

local READER = 'markdown'
local CALLOUTS = { note = 'Note', tip = 'Tip', warning = 'Warning', important = 'Important' }
local KINDS = { fig = 'Figure', tbl = 'Table', eq = 'Equation' }
local NOT_TEXT = { '{{<', '{#', ':::', '?@', '@sec-', '@eq-', '@fig-', '@tbl-' }
local DENSE = 1 / 2 -- of pictures that have two pixels for each of the page's
local MAX_TEXT = 40
local MAX_FIRST = 9 -- number of a list

local request = pandoc.json.decode(io.read('l'), false)
local page, cell                      -- the page at hand, and the number of its notebook cell
local errors, seen = {}, {}
local targets, uses = {}, {}          -- id -> what a reference may name; the places where references stand
local names, keys, explorables = {}, {}, {}
local displayed = request.cell        -- the class of the spans that keep displayed formulas for `paragraph`
local convert
local typeset_tables = dofile(pandoc.path.join { pandoc.path.directory(arg[0]), '..', 'assets', 'tables.lua' })[1].Div

-- Faults ----------------------------------------------------------------------------------------------------------

local function refuse(message, where)
  local place = where or (page.source .. (cell and ', cell ' .. cell or ''))
  local line = place .. ': ' .. message:gsub('%s*\n%s*', ' ')
  if not seen[line] then table.insert(errors, line) end
  seen[line] = true
end

local function shortened(text)
  return utf8.len(text) > MAX_TEXT and text:sub(1, utf8.offset(text, MAX_TEXT) - 1) .. '…' or text
end

local function excerpt(element) return '"' .. shortened(pandoc.utils.stringify(element)) .. '"' end

local function read(markdown)
  local messages, document = pandoc.log.silence(pandoc.read, markdown, READER)
  for _, message in ipairs(messages) do
    refuse(pandoc.json.decode(pandoc.json.encode(message), false).pretty)
  end
  return document
end

-- Elements of the page --------------------------------------------------------------------------------------------

local function inlines(markdown) return pandoc.utils.blocks_to_inlines(read(markdown).blocks) end
local function div(class, blocks, id, attributes)
  return pandoc.Div(blocks, pandoc.Attr(id or '', pandoc.List(class:gmatch('%S+')), attributes))
end
local function html(text) return pandoc.RawBlock('html', text) end

local function wrapped(opening, blocks, closing)
  local all = pandoc.Blocks { html(opening) }
  all:extend(blocks)
  all:insert(html(closing))
  return all
end

local function target(id, text)
  if targets[id] then return refuse('the label ' .. id .. ' is used in ' .. targets[id].page.source .. ' as well') end
  targets[id] = { page = page, text = text }
  table.insert(page.targets, { id, text })
end

local function numbered(id)
  local kind = id:match('^(%a+)%-')
  page.counts[kind] = (page.counts[kind] or 0) + 1
  local number = (page.number and page.number .. '.' or '') .. page.counts[kind]
  target(id, KINDS[kind] .. ' ' .. number)
  return number
end

-- Inlines, which are only checked ---------------------------------------------------------------------------------
-- One walk over all blocks of a page does it: one walk for each paragraph takes six times as long.

local check = { traverse = 'topdown' }

function check.Str(str)
  if not str.text:find('[{:?@]') then return nil end -- nearly all
  for _, leak in ipairs(NOT_TEXT) do
    if str.text:find(leak, 1, true) then
      return refuse('"' .. str.text .. '" was not understood: unsupported or misplaced markup')
    end
  end
end

function check.Code(code)
  -- how pandoc reads a fence with {python}, which Quarto would execute
  if code.text:find('^{%a+}%s') then refuse('a cell to execute outside a notebook: ' .. code.text) end
  if code.classes[1] or #code.attributes > 0 then refuse('inline code with attributes: ' .. excerpt(code)) end
end

local function check_formula(tex, shown)
  table.insert(page.formulas, { shown or tex, cell or '' })
  for _, environment in ipairs { 'align', 'alignat', 'gather', 'equation', 'multline', 'eqnarray' } do
    if tex:find('\\begin{' .. environment .. '%*?}') then
      refuse('the environment ' .. environment .. ' numbers its formulas itself; use aligned and a label {#eq-…}: ' .. shortened(tex))
    end
  end
  for _, command in ipairs { '\\tag', '\\label', '\\newcommand', '\\def' } do
    if tex:find(command .. '[%s{*\\]') then refuse(command .. ' in a formula; use a label {#eq-…}: ' .. shortened(tex)) end
  end
end

function check.Math(formula)
  if formula.mathtype == 'DisplayMath' then return refuse('display maths must stand in a paragraph: ' .. formula.text) end
  check_formula(formula.text)
end

function check.Link(link)
  if link.classes:includes('uri') or link.classes:includes('email') then
    return refuse('an address in angle brackets; write [text](' .. link.target .. ')')
  end
  if link.classes[1] or #link.attributes > 0 then return refuse('a link with attributes: ' .. excerpt(link)) end
  if link.target:find('^%a[%w+.-]*:') then return link end
  local path, hash = link.target:match('^([^#]*)(.*)$')
  if path == '' then return link end
  local stem = path:gsub('%.qmd$', ''):gsub('%.ipynb$', ''):gsub('%.md$', '')
  local found = pandoc.path.normalize(pandoc.path.join { pandoc.path.directory(page.name), stem })
  local parts = {}
  for part in found:gmatch('[^/]+') do
    if part == '..' then table.remove(parts) elseif part ~= '.' then table.insert(parts, part) end
  end
  if stem == path or not names[table.concat(parts, '/')] then
    return refuse('a link to ' .. link.target .. ', which is not a page of the book')
  end
  link.target = stem .. '.html' .. hash
  return link
end

function check.Cite(cite)
  local references, sources = 0, 0
  for _, one in ipairs(cite.citations) do
    if one.mode == 'SuppressAuthor' or one.prefix[1] or one.suffix[1] then
      refuse('@' .. one.id .. ': only the plain forms @key, [@key] and [@one; @two] are supported')
    end
    local kind = one.id:match('^(%a+)%-')
    if kind and (KINDS[kind] or kind == 'sec') then
      references = references + 1
      table.insert(uses, { id = one.id, place = page.source .. (cell and ', cell ' .. cell or '') })
    else
      sources = sources + 1
      page.cites[one.id] = true
      if not keys[one.id] then refuse('there is no source with the key ' .. one.id .. ' in the bibliography') end
    end
  end
  if references > 0 and sources > 0 then refuse('references and citations in one bracket: ' .. excerpt(cite)) end
  return cite, false
end

function check.Note(note)
  note.content = convert(note.content:walk(check))
  return note, false
end

-- "5 %" stays on one line
function check.Inlines(list)
  local changed
  for i = 3, #list do
    local after = list[i]
    if after.t == 'Str' and after.text:find('^%%') and list[i - 1].t == 'Space' then
      local before = list[i - 2]
      if before.t == 'Str' and before.text:find('%d$') then
        list[i - 1], changed = pandoc.Str '\u{a0}', list
      end
    end
  end
  return changed
end

function check.Span(span)
  if span.classes[1] == displayed then return span, false end
  refuse('unsupported Span in the text: ' .. pandoc.utils.stringify(span))
  return {}, false
end

for _, kind in ipairs { 'Image', 'RawInline', 'Strikeout', 'Superscript', 'Subscript', 'Underline', 'SmallCaps' } do
  check[kind] = function(element)
    refuse('unsupported ' .. element.t .. ' in the text: ' .. (element.text or pandoc.utils.stringify(element)))
    return {}, false
  end
end

local function checked(list) return pandoc.Inlines(list):walk(check) end

local function is_displayed(part) return part.t == 'Math' and part.mathtype == 'DisplayMath' end

-- Puts displayed formulas into spans, with their labels as ids.
local function keep_displayed(element)
  local content, kept, i = element.content, pandoc.Inlines {}, 1
  if not content:find_if(is_displayed) then return nil end
  while i <= #content do
    local part, space, label = content[i], content[i + 1], content[i + 2]
    if is_displayed(part) then
      label = space and space.t == 'Space' and label and label.t == 'Str' and label.text:match('^{#(eq%-[%w_-]+)}$')
      part = pandoc.Span({ part }, pandoc.Attr(label or '', { displayed }))
      if label then i = i + 2 end
    end
    kept:insert(part)
    i = i + 1
  end
  element.content = kept
  return element
end
check.Para, check.Plain = keep_displayed, keep_displayed

function check.RawBlock(element)
  if element.format == request.cell then cell = pandoc.json.decode(element.text, false).number end
end

-- Their own functions check what is in these.
function check.Figure(element) return element, false end
function check.Table(element) return element, false end

-- Checks the inlines of blocks just read.
local function checked_blocks(blocks)
  local before = cell
  local found = blocks:walk(check)
  cell = before
  return found
end

-- Blocks ----------------------------------------------------------------------------------------------------------

local block = {}
local depth = 0

local function check_heading(header)
  header.content:walk { Note = function() refuse('a footnote in a heading: ' .. excerpt(header)) end }
end

local function title(header)
  if not header or header.t ~= 'Header' or header.level ~= 1 then
    page.title, page.title_html = page.source, ''
    return refuse('begins without its title, a heading of the first level')
  end
  local is_numbered = not header.classes:includes('unnumbered')
  if #header.classes > (is_numbered and 0 or 1) or #header.attributes > 0 then
    refuse('a title with unknown attributes: ' .. excerpt(header))
  end
  header.content:walk { Math = function() refuse('maths in a title: ' .. excerpt(header)) end }
  check_heading(header)
  page.title, page.label = pandoc.utils.stringify(header), header.identifier
  page.title_html = pandoc.write(pandoc.Pandoc { pandoc.Plain(header.content) }, 'html5')
  local kind = page.is_appendix and 'Appendix' or 'Chapter'
  if header.identifier:find('^sec%-') then target(header.identifier, page.number and kind .. ' ' .. page.number or page.title) end
end

function block.Header(header)
  if depth > 1 then return refuse('a heading inside a div, a list or a quotation: ' .. excerpt(header)) end
  if header.classes[1] or #header.attributes > 0 then refuse('a heading with attributes: ' .. excerpt(header)) end
  if header.level == 1 then return refuse('a second title (a heading of the first level): ' .. excerpt(header)) end
  check_heading(header)
  local level, counts = header.level, page.levels
  counts[level] = (counts[level] or 0) + 1
  for below = level + 1, 6 do counts[below] = 0 end
  local parts = { page.number }
  for i = 2, level do table.insert(parts, counts[i] or 0) end
  local number = page.number and table.concat(parts, '.')
  if header.identifier:find('^sec%-') then
    target(header.identifier, number and 'Section ' .. number or pandoc.utils.stringify(header))
  end
  if number then
    local shown = pandoc.Span({ pandoc.Str(number) }, pandoc.Attr('', { 'header-section-number' }))
    header.content:insert(1, pandoc.Space())
    header.content:insert(1, shown)
  end
  return { header }
end

local function equation(formula, id)
  local tex = formula.text:gsub('^%s+', ''):gsub('%s+$', '')
  if id then tex = tex .. ' \\tag{' .. numbered(id) .. '}' end
  check_formula(formula.text, tex)
  local shown = pandoc.Span({ pandoc.Math('DisplayMath', tex) }, pandoc.Attr(id or '', { 'equation' }))
  return pandoc.Para { shown }
end

local function is_blank(element) return element and (element.t == 'Space' or element.t == 'SoftBreak') end

local function paragraph(element)
  local content = element.content
  if not content:find_if(function(part) return part.t == 'Span' and part.classes[1] == displayed end) then return { element } end
  local blocks, text = pandoc.Blocks {}, pandoc.Inlines {}
  local function end_text()
    while is_blank(text[1]) do text:remove(1) end
    while is_blank(text[#text]) do text:remove(#text) end
    if text[1] then blocks:insert(pandoc[element.t](text)) end
    text = pandoc.Inlines {}
  end
  for _, part in ipairs(content) do
    if part.t == 'Span' and part.classes[1] == displayed then
      end_text()
      blocks:insert(equation(part.content[1], part.identifier ~= '' and part.identifier or nil))
    else
      text:insert(part)
    end
  end
  end_text()
  return blocks
end
block.Para, block.Plain = paragraph, paragraph

local function items(list)
  list.content = list.content:map(function(item)
    local first = item[1] and item[1].content and item[1].content[1]
    if first and (first.text == '☐' or first.text == '☒') then refuse('a list of tasks: ' .. excerpt(item)) end
    return convert(item)
  end)
  return { list }
end
block.BulletList = items

function block.OrderedList(list)
  local style, delimiter = list.style, list.delimiter
  if (style ~= 'Decimal' and style ~= 'DefaultStyle') or (delimiter ~= 'Period' and delimiter ~= 'DefaultDelim') then
    refuse('a list of the style ' .. style .. ', ' .. delimiter .. '; number with 1. 2. 3.: ' .. excerpt(list.content[1]))
  elseif list.start > MAX_FIRST then
    refuse('a list that begins with ' .. list.start .. '., as a year or a number does at the beginning of a line; write ' ..
      list.start .. '\\. or break the line elsewhere: ' .. excerpt(list.content[1]))
  end
  return items(list)
end

function block.BlockQuote(quote) return { pandoc.BlockQuote(convert(quote.content)) } end

local function check_annotations(code)
  for line in (code .. '\n'):gmatch('(.-)\n') do
    if line:find('[#/%%-]%s*<%d+>%s*$') then refuse('a code annotation: ' .. shortened(line)) end
  end
end

function block.CodeBlock(code)
  if #code.classes > 1 or #code.attributes > 0 or code.identifier ~= '' or (code.classes[1] or ''):find('^{') then
    refuse('a code block may have a language and nothing else: ' .. excerpt(code))
  end
  check_annotations(code.text)
  return { code }
end

local function caption(id, text)
  local shown = checked(text)
  local number = KINDS[id:match('^%a+')] .. '\u{a0}' .. numbered(id) .. ':'
  shown:insert(1, pandoc.Space())
  shown:insert(1, pandoc.Span({ pandoc.Str(number) }, pandoc.Attr('', { 'caption-number' })))
  return shown
end

local function float(kind, id, content, text)
  local place = kind == 'tbl' and 'top' or 'bottom'
  local opening = ('<figcaption class="quarto-float-caption-%s quarto-float-caption quarto-float-%s" id="%s-caption">'):format(place, kind, id)
  local said = wrapped(opening, { pandoc.Plain(caption(id, text)) }, '</figcaption>')
  local inner = pandoc.Blocks { div('float-content', content, '', { ['aria-describedby'] = id .. '-caption' }) }
  local parts = kind == 'tbl' and said or inner
  parts:extend(kind == 'tbl' and inner or said)
  local class = 'quarto-float quarto-float-' .. kind .. ' figure'
  return div('quarto-float quarto-figure', wrapped('<figure class="' .. class .. '">', parts, '</figure>'), id)
end

local function picture(src, folder, scale, alt)
  if not (alt or ''):find('%S') then refuse('the figure ' .. src .. ' has no text alternative (fig-alt)') end
  local file = io.open(pandoc.path.join { folder, src }, 'rb')
  if not file then return refuse('there is no picture ' .. src) end
  local could, size = pcall(pandoc.image.size, file:read('a'))
  file:close()
  if not could then return refuse('a picture of an unknown kind: ' .. src) end
  page.pictures = page.pictures + 1
  local attributes = pandoc.List { -- in this order: a page is the same each time that it is made
    { 'alt', alt }, { 'width', ('%.0f'):format(size.width * scale) }, { 'height', ('%.0f'):format(size.height * scale) },
  }
  if page.pictures > 1 then
    attributes:extend { { 'loading', 'lazy' }, { 'decoding', 'async' } }
  elseif page.number then -- a chapter begins with text, whose fonts come first
    attributes:insert { 'fetchpriority', 'low' }
  end
  return pandoc.Image({}, src, '', pandoc.Attr('', { 'figure-img' }, attributes))
end

local function figure(image, id, text)
  if not image then return nil end
  if not id then return pandoc.Plain { image } end
  if not id:find('^fig%-') then return refuse('the label of a figure begins with fig-: ' .. id) end
  return float('fig', id, { pandoc.Plain { image } }, text)
end

function block.Figure(element)
  local image = element.content[1] and element.content[1].content and element.content[1].content[1]
  if not image or image.t ~= 'Image' then return refuse('a figure that is not one picture: ' .. excerpt(element)) end
  local id = element.identifier ~= '' and element.identifier or image.identifier
  if id == '' then return refuse('a figure needs a label, {#fig-…}: ' .. image.src) end
  if image.classes[1] or image.title ~= '' then refuse('a picture with a class or a title: ' .. image.src) end
  for key in pairs(image.attributes) do
    if key ~= 'fig-alt' then refuse('a picture with the attribute ' .. key .. ': ' .. image.src) end
  end
  table.insert(page.files, image.src)
  local shown = picture(image.src, page.folder, 1, image.attributes['fig-alt'])
  local made = figure(shown, id, pandoc.utils.blocks_to_inlines(element.caption.long))
  return made and { made }
end

function block.Table(element)
  local id, text = element.identifier, pandoc.utils.blocks_to_inlines(element.caption.long)
  if element.classes[1] or #element.attributes > 0 then refuse('a table with a class or an attribute: ' .. id) end
  for i, spec in ipairs(element.colspecs) do element.colspecs[i] = { spec[1] } end
  element.caption, element.identifier = { long = {} }, ''
  element.classes = { 'table' }
  element = element:walk {
    traverse = 'topdown',
    Plain = function(plain) return pandoc.Plain(checked(plain.content)), false end,
    Para = function(para) refuse('a table cell with more than a line: ' .. excerpt(para)) end,
  }
  if id == '' and text[1] then return refuse('a table with a caption needs a label, {#tbl-…}: ' .. excerpt(text)) end
  if id == '' then return { div('float-content', { element }) } end
  if not id:find('^tbl%-') then return refuse('the label of a table begins with tbl-: ' .. id) end
  if not text[1] then return refuse(id .. ' has no caption') end
  return { float('tbl', id, { element }, text) }
end

-- Cells -----------------------------------------------------------------------------------------------------------

local function output(shown, options)
  if shown.markdown then
    return div('cell-output cell-output-display cell-output-markdown', convert(checked_blocks(read(shown.markdown).blocks)))
  end
  if shown.picture then
    local image = picture(shown.picture, page.out, shown.dense and DENSE or 1, options['fig-alt'])
    local made = figure(image, options.label, inlines(options['fig-cap'] or ''))
    return made and div('cell-output cell-output-display', { made })
  end
  local text = (shown.error or shown.text):gsub('%s+$', '')
  local made = div('cell-output ' .. (shown.error and 'cell-output-error' or shown.class), { pandoc.CodeBlock(text) })
  return typeset_tables(made) or made
end

local function cell_blocks(content)
  local blocks, options, pictures = pandoc.Blocks {}, content.options, 0
  if content.code and content.code ~= '' then
    check_annotations(content.code)
    local shown = content.code:gsub('\n\n\n+', '\n\n') -- the formatter's two empty lines are one on the page
    local code = { pandoc.CodeBlock(shown, pandoc.Attr('', { 'python', 'cell-code' })) }
    if options['code-fold'] then
      local summary = pandoc.Plain(checked(inlines(options['code-summary'] or 'Code')))
      local opening = wrapped('<details class="code-fold"><summary>', { summary }, '</summary>')
      opening:extend(code)
      opening:insert(html('</details>'))
      code = opening
    end
    blocks:extend(code)
  end
  for _, one in ipairs(content.outputs) do
    if one.picture then pictures = pictures + 1 end
    blocks:insert(output(one, options))
  end
  if not options.label ~= not options['fig-cap'] then refuse('a figure needs both a label and a fig-cap') end
  if options.label and pictures == 0 then refuse(options.label .. ' has no stored picture') end
  return blocks[1] and { div('cell', blocks) } or {}
end

function block.RawBlock(element)
  if element.format == 'html' and element.text:match('^<!%-%-.*%-%->%s*$') then return {} end
  if element.format ~= request.cell then
    return refuse('raw ' .. element.format .. ' is not supported: ' .. element.text:match('^[^\n]*'))
  end
  local content = pandoc.json.decode(element.text, false)
  cell = content.number
  return content.outputs and cell_blocks(content) or {}
end

-- Divs ------------------------------------------------------------------------------------------------------------

local function callout(element, kind)
  local shown = pandoc.Plain(checked(inlines(element.attributes.title or CALLOUTS[kind])))
  local collapse = element.attributes.collapse
  for key in pairs(element.attributes) do
    if key ~= 'title' and key ~= 'collapse' then refuse('a callout with the attribute ' .. key) end
  end
  if collapse and collapse ~= 'true' then refuse('collapse="' .. collapse .. '"; only "true" is supported') end
  local class = 'callout callout-style-default callout-' .. kind .. ' callout-titled'
  local body = div('callout-body-container callout-body', convert(element.content))
  local name = { div('callout-title-container', { shown }) }
  if not collapse then return { div(class, { div('callout-header', name), body }) } end
  local all = wrapped('<details class="' .. class .. '"><summary class="callout-header">',
    { shown }, '</summary>')
  all:extend { body, html('</details>') }
  return all
end

local function tabset(element)
  local tabs = {}
  for _, one in ipairs(element.content) do
    if one.t == 'Header' then
      if one.classes[1] or #one.attributes > 0 then refuse('a tab with a class or an attribute: ' .. excerpt(one)) end
      table.insert(tabs, { title = one.content, content = pandoc.Blocks {} })
    elseif #tabs > 0 then
      tabs[#tabs].content:extend(convert { one })
    elseif one.t == 'RawBlock' and one.format == request.cell and not pandoc.json.decode(one.text, false).outputs then
      cell = pandoc.json.decode(one.text, false).number
    else
      refuse('a panel-tabset begins with the heading of its first tab')
    end
  end
  page.tabsets = page.tabsets + 1
  local heads, panes = pandoc.Blocks {}, pandoc.Blocks {}
  for i, tab in ipairs(tabs) do
    local id = ('tabset-%d-%d'):format(page.tabsets, i)
    local active = i == 1 and ' active' or ''
    heads:extend(wrapped(
      ('<li class="nav-item" role="presentation"><button type="button" class="nav-link%s" id="%s-tab" role="tab" aria-controls="%s" aria-selected="%s"%s>')
        :format(active, id, id, tostring(i == 1), i == 1 and '' or ' tabindex="-1"'),
      { pandoc.Plain(tab.title) }, '</button></li>'))
    panes:insert(div('tab-pane' .. active, tab.content, id, { { 'role', 'tabpanel' }, { 'aria-labelledby', id .. '-tab' } }))
  end
  local all = wrapped('<ul class="nav nav-tabs" role="tablist">', heads, '</ul>')
  all:insert(div('tab-content', panes))
  return { div('panel-tabset', all) }
end

local function explorable(element)
  for key in pairs(element.attributes) do
    if key ~= 'data-explore' then refuse('an explorable with the attribute ' .. key) end
  end
  local name = element.attributes['data-explore'] or ''
  if not name:find('^[%w-]+$') then return refuse('an explorable without a name, data-explore="…"') end
  if not explorables[name] then
    return refuse('there is no explorable ' .. name .. ': assets/explore/' .. name .. '.js was not found')
  end
  page.explores = true
  return { div('explorable', convert(element.content), '', { ['data-explore'] = name }) }
end

function block.Div(element)
  if element.identifier == 'refs' then
    page.has_references = true
    return { element }
  end
  local class = element.classes[1] or ''
  if element.identifier ~= '' then return refuse('a div with an identifier: ' .. element.identifier) end
  if #element.classes == 1 and class == 'explorable' then return explorable(element) end
  local kind = class:match('^callout%-(%a+)$')
  if #element.classes == 1 and CALLOUTS[kind] then return callout(element, kind) end
  if #element.classes == 1 and #element.attributes == 0 then
    if class == 'panel-tabset' then return tabset(element) end
    if class == 'column-margin' then return { div('column-margin', convert(element.content)) } end
  end
  refuse('unsupported div: ::: {.' .. table.concat(element.classes, ' .') .. '}')
end

function convert(blocks)
  depth = depth + 1
  local converted = pandoc.Blocks {}
  for _, element in ipairs(blocks) do
    local how = block[element.t]
    if how then converted:extend(how(element) or {}) else refuse('unsupported ' .. element.t .. ': ' .. excerpt(element)) end
  end
  depth = depth - 1
  return converted
end

-- The book --------------------------------------------------------------------------------------------------------

local function address(from, to, id)
  if from == to then return '#' .. id end
  local here, there = pandoc.path.directory(from.name), pandoc.path.directory(to.name)
  if here == there then return pandoc.path.filename(to.name) .. '.html#' .. id end
  return ('../'):rep(select(2, from.name:gsub('/', ''))) .. to.name .. '.html#' .. id
end

local function resolver(here)
  return { Cite = function(cite)
    local links = pandoc.Inlines {}
    for _, citation in ipairs(cite.citations) do
      local found = targets[citation.id]
      if not found then return nil end
      if #links > 0 then links:extend { pandoc.Str ',', pandoc.Space() } end
      local text = pandoc.Span({ pandoc.Str((found.text:gsub('^(%u%l+) ', '%1\u{a0}'))) })
      links:insert(pandoc.Link({ text }, address(here, found.page, citation.id), '', pandoc.Attr('', { 'quarto-xref' })))
    end
    return links
  end }
end

-- Whether the page's title has a number, found without reading the page.
local function is_numbered(one)
  if one.known then return one.known.number ~= '' end
  local first = read(('\n' .. one.markdown):match('\n(# [^\n]*)') or '').blocks[1]
  return first and not first.classes:includes('unnumbered')
end

local function recall(one)
  local known = one.known
  for _, pair in ipairs(known.targets) do
    local found = targets[pair[1]]
    if found and found.page.position < one.position then
      refuse('the label ' .. pair[1] .. ' is used in ' .. found.page.source .. ' as well', one.source)
    end
    targets[pair[1]] = { page = one, text = pair[2] }
  end
  one.has_references = known.has_references
  return pandoc.Div(pandoc.List(known.cited):map(function(key)
    return pandoc.Plain { pandoc.Cite({}, { pandoc.Citation(key, 'NormalCitation') }) }
  end))
end

local function read_page(one)
  page, cell = one, nil
  page.counts, page.levels, page.pictures, page.tabsets, page.files = {}, {}, 0, 0, {}
  page.targets, page.formulas, page.cites = {}, {}, {}
  local document = read(page.markdown)
  for key in pairs(document.meta) do refuse('front matter is not supported: ' .. key) end
  local blocks = checked_blocks(document.blocks)
  local head = blocks[1] and blocks[1].t == 'RawBlock' and convert { blocks:remove(1) } or pandoc.Blocks {}
  local first = blocks[1] and blocks[1].t == 'Header' and blocks[1].level == 1 and blocks:remove(1)
  title(first)
  if first and first.classes:includes('unnumbered') ~= not page.number then refuse('the title is not written as # Title') end
  head:extend(convert(blocks))
  return pandoc.Div(head, pandoc.Attr('', { 'page' }))
end

local function shared(one)
  local cited = pandoc.List {}
  for key in pairs(one.cites) do cited:insert(key) end
  cited:sort()
  return {
    name = one.name, number = one.number or '', has_references = one.has_references or false, targets = one.targets,
    cited = cited,
  }
end

local function written(one, body, sources, options)
  body = body:walk { Link = function(link)
    local id = link.target:match('^#(ref%-.*)')
    if id and sources then link.target = address(one, sources, id) end
    if link.target:find('^https?:') then link.attributes.rel = 'noopener' end
    return link
  end }
  local toc = pandoc.structure.table_of_contents(body.content, options)
  return {
    body = pandoc.write(pandoc.Pandoc(body.content), 'html5', options),
    toc = toc.content[1] and pandoc.write(pandoc.Pandoc { toc }, 'html5', options) or '',
    name = one.name, title = one.title, title_html = one.title_html, label = one.label or '',
    explores = one.explores or false, files = one.files, formulas = one.formulas, shared = one.shared,
  }
end

local references = pandoc.List {}
for _, path in ipairs(request.bibliography) do
  local file = assert(io.open(path))
  references:extend(pandoc.read(file:read('a'), 'biblatex').meta.references or {})
  file:close()
end
for _, reference in ipairs(references) do keys[pandoc.utils.stringify(reference.id)] = true end
for _, one in ipairs(request.pages) do names[one.name] = true end
for _, name in ipairs(request.explorables) do explorables[name] = true end

local counts, made, said = { chapter = 0, appendix = 0 }, {}, pandoc.List {}
for i, one in ipairs(request.pages) do
  page, one.position = one, i
  if is_numbered(one) then
    local kind = one.is_appendix and 'appendix' or 'chapter'
    counts[kind] = counts[kind] + 1
    one.number = one.is_appendix and string.char(64 + counts[kind]) or tostring(counts[kind])
  end
  if not one.known and not one.elsewhere then
    made[i] = read_page(one)
    one.shared = shared(one)
    said:insert(one.shared)
  end
end
print(pandoc.json.encode(said))
io.flush()

local elsewhere = {}
for _, one in ipairs(pandoc.json.decode(io.read('l'), false)) do elsewhere[one.name] = one end
local blocks, sources = pandoc.Blocks {}, nil
for i, one in ipairs(request.pages) do
  if one.elsewhere then one.known = elsewhere[one.name] end
  blocks:insert(made[i] or recall(one))
  if one.has_references then sources = one end
end
for _, use in ipairs(uses) do
  if not targets[use.id] then refuse('there is nothing with the label ' .. use.id, use.place) end
end
for i, one in ipairs(request.pages) do blocks[i] = blocks[i]:walk(resolver(one)) end

local meta = { references = references, ['link-citations'] = true }
local document = select(2, pandoc.log.silence(pandoc.utils.citeproc, pandoc.Pandoc(blocks, meta)))
local options = pandoc.WriterOptions { html_math_method = 'katex', section_divs = true, wrap_text = 'preserve', toc_depth = 3 }
local pages = {}
for i, one in ipairs(request.pages) do
  if not one.known then table.insert(pages, written(one, document.blocks[i], sources, options)) end
end
print(pandoc.json.encode { errors = errors, pages = pages })
