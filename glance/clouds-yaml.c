/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to read YAML with libyaml: bounded in size, depth, number and aliases, each name once.
 * No error ever shows a value, for it may be a secret. */

#include "clouds-yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "error-private.h"

#define FILE_MAX  (256 * 1024)
#define DEPTH_MAX 32
#define NODES_MAX 10000         /* counting again what aliases and "<<" repeat */

typedef struct
{
  yaml_parser_t  parser;
  char          *path;          /* a GRefString */
  gboolean       is_exposed;
  GHashTable    *anchors;       /* name -> CloudsNode, once it is complete */
  guint          n_nodes;
} Reader;

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (yaml_event_t, yaml_event_delete)

static CloudsNode *read_node (Reader *reader, const yaml_event_t *event, guint depth,
                              GError **error);

static void
node_clear (gpointer data)
{
  CloudsNode *self = data;

  if (self->text != NULL)
    explicit_bzero (self->text, strlen (self->text));
  g_free (self->text);
  g_clear_pointer (&self->names, g_ptr_array_unref);
  g_clear_pointer (&self->values, g_hash_table_unref);
  g_clear_pointer (&self->items, g_ptr_array_unref);
  g_ref_string_release (self->path);
}

/**
 * clouds_node_unref:
 * @self: (transfer full): a node; its texts are wiped with the last reference
 */
void
clouds_node_unref (CloudsNode *self)
{
  g_rc_box_release_full (self, node_clear);
}

static void
set_error (Reader      *reader,
           guint        line,
           const char  *message,
           GError     **error)
{
  glance_set_error (error, GLANCE_ERROR_INVALID, "%s:%u: %s", reader->path, line, message);
}

static gboolean
count (Reader  *reader,
       guint    line,
       GError **error)
{
  if (++reader->n_nodes <= NODES_MAX)
    return TRUE;

  set_error (reader, line, "there is too much in this file, or its aliases repeat too much", error);

  return FALSE;
}

static guint
line_of (const yaml_event_t *event)
{
  return (guint) event->start_mark.line + 1;
}

static CloudsNode *
node_new (Reader             *reader,
          const yaml_event_t *event,
          CloudsKind          kind)
{
  CloudsNode *node = g_rc_box_new0 (CloudsNode);

  node->kind = kind;
  node->path = g_ref_string_acquire (reader->path);
  node->line = line_of (event);
  node->is_exposed = reader->is_exposed;

  return node;
}

static gboolean
next_event (Reader        *reader,
            yaml_event_t  *event,
            GError       **error)
{
  const char *problem;

  if (yaml_parser_parse (&reader->parser, event) == 1)
    return TRUE;

  problem = reader->parser.problem != NULL ? reader->parser.problem : "out of memory";
  glance_set_error (error, GLANCE_ERROR_INVALID, "%s:%zu: this is not YAML: %s", reader->path,
                    reader->parser.problem_mark.line + 1, problem);

  return FALSE;
}

/* The types that the format has by itself; all others would have to be made by a program. */
static gboolean
check_tag (Reader              *reader,
           const yaml_event_t  *event,
           const yaml_char_t   *tag,
           GError             **error)
{
  static const char *const known[] = {
    YAML_STR_TAG, YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG, YAML_NULL_TAG, YAML_MAP_TAG,
    YAML_SEQ_TAG, NULL,
  };

  if (tag == NULL || g_strv_contains (known, (const char *) tag))
    return TRUE;

  set_error (reader, line_of (event), "a tag (!...) that is not supported", error);

  return FALSE;
}

static CloudsNode *
read_text (Reader              *reader,
           const yaml_event_t  *event,
           GError             **error)
{
  const char *text = (const char *) event->data.scalar.value;
  CloudsNode *node;

  if (!check_tag (reader, event, event->data.scalar.tag, error))
    return NULL;
  if (strlen (text) != event->data.scalar.length)
    {
      set_error (reader, line_of (event), "a text with a NUL in it", error);
      return NULL;
    }

  node = node_new (reader, event, CLOUDS_TEXT);
  node->text = g_strdup (text);
  node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
                   && event->data.scalar.tag == NULL;

  return node;
}

static gboolean
add_member (Reader      *reader,
            CloudsNode  *map,
            const char  *name,
            CloudsNode  *value,
            guint        line,
            GError     **error)
{
  g_ptr_array_add (map->names, g_strdup (name));
  g_hash_table_insert (map->values, g_strdup (name), g_rc_box_acquire (value));

  return count (reader, line, error);
}

/* Whatever @other says, @map says too, unless it says something else. */
static gboolean
merge_map (Reader            *reader,
           CloudsNode        *map,
           const CloudsNode  *other,
           GError           **error)
{
  if (other->kind != CLOUDS_MAP)
    {
      set_error (reader, other->line, "\"<<\" takes a map, or a list of maps", error);
      return FALSE;
    }

  for (guint i = 0; i < other->names->len; i++)
    {
      const char *name = other->names->pdata[i];
      CloudsNode *value = g_hash_table_lookup (other->values, name);

      if (!g_hash_table_contains (map->values, name)
          && !add_member (reader, map, name, value, value->line, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
merge (Reader            *reader,
       CloudsNode        *map,
       const CloudsNode  *others,
       GError           **error)
{
  if (others->kind != CLOUDS_LIST)
    return merge_map (reader, map, others, error);

  for (guint i = 0; i < others->items->len; i++)
    {
      if (!merge_map (reader, map, others->items->pdata[i], error))
        return FALSE;
    }

  return TRUE;
}

static CloudsNode *
read_map (Reader              *reader,
          const yaml_event_t  *start,
          guint                depth,
          GError             **error)
{
  g_autoptr (CloudsNode) map = node_new (reader, start, CLOUDS_MAP);
  g_autoptr (CloudsNode) merged = NULL;

  map->names = g_ptr_array_new_with_free_func (g_free);
  map->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                       (GDestroyNotify) clouds_node_unref);
  if (!check_tag (reader, start, start->data.mapping_start.tag, error))
    return NULL;

  while (TRUE)
    {
      g_auto (yaml_event_t) name_event = { 0 };
      g_auto (yaml_event_t) value_event = { 0 };
      g_autoptr (CloudsNode) name = NULL;
      g_autoptr (CloudsNode) value = NULL;

      if (!next_event (reader, &name_event, error))
        return NULL;
      if (name_event.type == YAML_MAPPING_END_EVENT)
        break;

      name = read_node (reader, &name_event, depth + 1, error);
      if (name == NULL || !next_event (reader, &value_event, error))
        return NULL;
      value = read_node (reader, &value_event, depth + 1, error);
      if (value == NULL)
        return NULL;

      if (name->kind != CLOUDS_TEXT)
        {
          set_error (reader, line_of (&name_event), "the name of a value must be a word", error);
          return NULL;
        }

      if (g_hash_table_contains (map->values, name->text)
          || (merged != NULL && g_str_equal (name->text, "<<")))
        {
          set_error (reader, line_of (&name_event), "a name that this map has already", error);
          return NULL;
        }

      if (name->is_plain && g_str_equal (name->text, "<<"))
        merged = g_steal_pointer (&value);
      else if (!add_member (reader, map, name->text, value, name->line, error))
        return NULL;
    }

  if (merged != NULL && !merge (reader, map, merged, error))
    return NULL;

  return g_steal_pointer (&map);
}

static CloudsNode *
read_list (Reader              *reader,
           const yaml_event_t  *start,
           guint                depth,
           GError             **error)
{
  g_autoptr (CloudsNode) list = node_new (reader, start, CLOUDS_LIST);

  list->items = g_ptr_array_new_with_free_func ((GDestroyNotify) clouds_node_unref);
  if (!check_tag (reader, start, start->data.sequence_start.tag, error))
    return NULL;

  while (TRUE)
    {
      g_auto (yaml_event_t) event = { 0 };
      CloudsNode *item;

      if (!next_event (reader, &event, error))
        return NULL;
      if (event.type == YAML_SEQUENCE_END_EVENT)
        break;

      item = read_node (reader, &event, depth + 1, error);
      if (item == NULL)
        return NULL;
      g_ptr_array_add (list->items, item);
    }

  return g_steal_pointer (&list);
}

static CloudsNode *
find_anchor (Reader              *reader,
             const yaml_event_t  *event,
             GError             **error)
{
  CloudsNode *node = g_hash_table_lookup (reader->anchors, event->data.alias.anchor);

  /* What contains itself is not complete when it is named. */
  if (node == NULL)
    {
      set_error (reader, line_of (event), "an alias (*...) of nothing before it, or of itself",
                 error);
      return NULL;
    }

  return g_rc_box_acquire (node);
}

static CloudsNode *
read_node (Reader              *reader,
           const yaml_event_t  *event,
           guint                depth,
           GError             **error)
{
  const yaml_char_t *anchor = NULL;
  CloudsNode *node = NULL;

  if (!count (reader, line_of (event), error))
    return NULL;
  if (depth > DEPTH_MAX)
    {
      set_error (reader, line_of (event), "nested too deeply", error);
      return NULL;
    }

  switch ((int) event->type)
    {
    case YAML_ALIAS_EVENT:
      return find_anchor (reader, event, error);

    case YAML_SCALAR_EVENT:
      anchor = event->data.scalar.anchor;
      node = read_text (reader, event, error);
      break;

    case YAML_MAPPING_START_EVENT:
      anchor = event->data.mapping_start.anchor;
      node = read_map (reader, event, depth, error);
      break;

    case YAML_SEQUENCE_START_EVENT:
      anchor = event->data.sequence_start.anchor;
      node = read_list (reader, event, depth, error);
      break;

    default:
      set_error (reader, line_of (event), "this is not what a cloud is described with", error);
      break;
    }

  if (node != NULL && anchor != NULL)
    g_hash_table_replace (reader->anchors, g_strdup ((const char *) anchor),
                          g_rc_box_acquire (node));

  return node;
}

/* The only document of the file. */
static CloudsNode *
read_document (Reader  *reader,
               GError **error)
{
  g_autoptr (CloudsNode) root = NULL;

  while (TRUE)
    {
      g_auto (yaml_event_t) event = { 0 };

      if (!next_event (reader, &event, error))
        return NULL;

      switch ((int) event.type)
        {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
          break;

        case YAML_STREAM_END_EVENT:
          if (root == NULL)
            set_error (reader, 1, "there is nothing in this file", error);
          return g_steal_pointer (&root);

        default:
          if (root != NULL)
            {
              set_error (reader, line_of (&event), "a second document; one is wanted", error);
              return NULL;
            }
          root = read_node (reader, &event, 0, error);
          if (root == NULL)
            return NULL;
          break;
        }
    }
}

/* -1 with @error, or without one when there is no such file. */
static gssize
load (const char  *path,
      char        *text,
      gboolean    *is_exposed,
      GError     **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat status;
  gsize size = 0;
  gssize got = fd >= 0 ? fstat (fd, &status) : -1;
  int saved_errno = errno;

  if (got == 0 && !S_ISREG (status.st_mode))
    {
      glance_set_error (error, GLANCE_ERROR_INVALID, "%s is not a file", path);
      close (fd);
      return -1;
    }

  while (got == 0 && size <= FILE_MAX)
    {
      gssize n = read (fd, text + size, FILE_MAX + 1 - size);

      saved_errno = errno;
      if (n == 0)
        break;
      if (n < 0)
        got = -1;
      else
        size += (gsize) n;
    }

  if (fd >= 0)
    close (fd);

  if (got < 0)
    {
      if (fd >= 0 || (saved_errno != ENOENT && saved_errno != ENOTDIR))
        glance_set_error (error, GLANCE_ERROR_INVALID, "cannot read %s: %s", path,
                          g_strerror (saved_errno));
      return -1;
    }
  if (size > FILE_MAX)
    {
      glance_set_error (error, GLANCE_ERROR_INVALID, "%s is larger than %d KiB: that describes no "
                        "clouds", path, FILE_MAX / 1024);
      return -1;
    }

  *is_exposed = (status.st_mode & S_IROTH) != 0;

  return (gssize) size;
}

/**
 * clouds_yaml_read:
 * @path: of the file
 * @error: GLANCE_ERROR_INVALID, with the line, when it cannot be read or is not such YAML
 *
 * Returns: (transfer full) (nullable): what the file holds; %NULL without an error when there is no
 *   such file
 */
CloudsNode *
clouds_yaml_read (const char  *path,
                  GError     **error)
{
  g_autofree char *text = g_malloc (FILE_MAX + 1);
  Reader reader = { .path = g_ref_string_new (path) };
  gssize size = load (path, text, &reader.is_exposed, error);
  CloudsNode *root = NULL;

  if (size >= 0)
    {
      reader.anchors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify) clouds_node_unref);
      if (yaml_parser_initialize (&reader.parser) == 1)
        {
          yaml_parser_set_input_string (&reader.parser, (const unsigned char *) text,
                                        (size_t) size);
          root = read_document (&reader, error);
          yaml_parser_delete (&reader.parser);
        }
      else
        glance_set_error (error, GLANCE_ERROR_INVALID, "%s: out of memory", path);
      g_hash_table_unref (reader.anchors);
    }

  explicit_bzero (text, FILE_MAX + 1);
  g_ref_string_release (reader.path);

  return root;
}
