/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to read query-qmp-schema (docs/devel/qapi-code-gen of QEMU, "Client JSON Protocol
 * introspection"): a flat list of named commands, events and types that refer to each other. */

#include "fields.h"

#include <string.h>

#include <qmp/error.h>
#include <qmp/features.h>

typedef enum
{
  KIND_COMMAND,
  KIND_EVENT,
  KIND_TYPE,
} Kind;

/* A command, an event or a type. */
typedef struct
{
  Kind        kind;
  GHashTable *members;          /* (nullable): of an object: name -> Member */
  GHashTable *values;           /* (nullable): of an enumeration: a set */
  GHashTable *flags;            /* (nullable): "features" in the schema's words: a set */
  GPtrArray  *below;            /* names of types at the same depth of a path: a command's
                                 * arguments, an object's variants, an array's elements, what an
                                 * alternate may be */
} Entity;

typedef struct
{
  const char *type;
  GHashTable *flags;            /* (nullable): a set */
} Member;

struct _QmpFeatures
{
  GObject       parent_instance;

  GStringChunk *texts;          /* owns every string */
  GHashTable   *entities;       /* name -> Entity, owned */
};

G_DEFINE_FINAL_TYPE (QmpFeatures, qmp_features, G_TYPE_OBJECT)

static void
entity_free (Entity *entity)
{
  g_clear_pointer (&entity->members, g_hash_table_unref);
  g_clear_pointer (&entity->values, g_hash_table_unref);
  g_clear_pointer (&entity->flags, g_hash_table_unref);
  g_ptr_array_unref (entity->below);
  g_free (entity);
}

static void
member_free (Member *member)
{
  g_clear_pointer (&member->flags, g_hash_table_unref);
  g_free (member);
}

static void
qmp_features_finalize (GObject *object)
{
  QmpFeatures *self = QMP_FEATURES (object);

  g_clear_pointer (&self->entities, g_hash_table_unref);
  g_clear_pointer (&self->texts, g_string_chunk_free);

  G_OBJECT_CLASS (qmp_features_parent_class)->finalize (object);
}

static void
qmp_features_class_init (QmpFeaturesClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_features_finalize;
}

static void
qmp_features_init (QmpFeatures *self)
{
  self->texts = g_string_chunk_new (4096);
  self->entities = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                          (GDestroyNotify) entity_free);
}

/* The schema repeats few names often: each is kept once. */
static char *
keep (QmpFeatures *self,
      const char  *text)
{
  return g_string_chunk_insert_const (self->texts, text);
}

/* The set of strings in a member that is an array of strings. */
static GHashTable *
read_set (QmpFeatures *self,
          QmpFields   *fields,
          JsonObject  *object,
          const char  *member)
{
  JsonArray *array = qmp_fields_maybe_array (fields, object, member);
  g_autoptr (GHashTable) set = NULL;

  if (array == NULL)
    return NULL;

  set = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonNode *node = json_array_get_element (array, i);

      if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
        {
          qmp_fields_fault (fields, "\"%s\" has an element that is no string", member);
          return NULL;
        }
      g_hash_table_add (set, keep (self, json_node_get_string (node)));
    }

  return g_steal_pointer (&set);
}

static void
read_members (QmpFeatures *self,
              QmpFields   *fields,
              JsonObject  *object,
              Entity      *entity)
{
  JsonArray *array = qmp_fields_maybe_array (fields, object, "members");
  guint n = array != NULL ? json_array_get_length (array) : 0;

  entity->members = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                           (GDestroyNotify) member_free);
  for (guint i = 0; i < n && fields->error == NULL; i++)
    {
      JsonObject *element = qmp_fields_element (fields, array, i);
      Member *member;

      if (element == NULL)
        return;

      member = g_new0 (Member, 1);
      g_hash_table_replace (entity->members,
                            keep (self, qmp_fields_text (fields, element, "name")), member);
      member->type = keep (self, qmp_fields_text (fields, element, "type"));
      member->flags = read_set (self, fields, element, "features");
    }
}

/* Adds the types that the elements of an array name: of variants, or of an alternate. */
static void
read_below (QmpFeatures *self,
            QmpFields   *fields,
            JsonObject  *object,
            const char  *member,
            Entity      *entity)
{
  JsonArray *array = qmp_fields_maybe_array (fields, object, member);
  guint n = array != NULL ? json_array_get_length (array) : 0;

  for (guint i = 0; i < n && fields->error == NULL; i++)
    {
      JsonObject *element = qmp_fields_element (fields, array, i);

      if (element != NULL)
        g_ptr_array_add (entity->below, keep (self, qmp_fields_text (fields, element, "type")));
    }
}

static void
read_entity (QmpFeatures *self,
             QmpFields   *fields,
             JsonObject  *object)
{
  const char *name = qmp_fields_text (fields, object, "name");
  const char *meta = qmp_fields_text (fields, object, "meta-type");
  Entity *entity = g_new0 (Entity, 1);

  fields->subject = name;
  entity->kind = KIND_TYPE;
  entity->below = g_ptr_array_new ();
  if (!g_hash_table_insert (self->entities, keep (self, name), entity))
    {
      qmp_fields_fault (fields, "it is described twice");
      return;
    }

  entity->flags = read_set (self, fields, object, "features");
  if (strcmp (meta, "command") == 0 || strcmp (meta, "event") == 0)
    {
      entity->kind = strcmp (meta, "command") == 0 ? KIND_COMMAND : KIND_EVENT;
      g_ptr_array_add (entity->below, keep (self, qmp_fields_text (fields, object, "arg-type")));
    }
  else if (strcmp (meta, "object") == 0)
    {
      read_members (self, fields, object, entity);
      read_below (self, fields, object, "variants", entity);
    }
  else if (strcmp (meta, "alternate") == 0)
    read_below (self, fields, object, "members", entity);
  else if (strcmp (meta, "array") == 0)
    g_ptr_array_add (entity->below, keep (self, qmp_fields_text (fields, object, "element-type")));
  else if (strcmp (meta, "enum") == 0)
    entity->values = read_set (self, fields, object, "values");
  fields->subject = NULL;
}

static void
check_type (QmpFeatures *self,
            QmpFields   *fields,
            const char  *type)
{
  Entity *entity = g_hash_table_lookup (self->entities, type);

  if (entity == NULL || entity->kind != KIND_TYPE)
    qmp_fields_fault (fields, "it refers to type \"%s\", which is not described", type);
}

/* Whoever follows a reference later finds a type. */
static void
check_references (QmpFeatures *self,
                  QmpFields   *fields)
{
  GHashTableIter entities, members;
  gpointer name, value;

  g_hash_table_iter_init (&entities, self->entities);
  while (g_hash_table_iter_next (&entities, &name, &value))
    {
      Entity *entity = value;

      fields->subject = name;
      for (guint i = 0; i < entity->below->len; i++)
        check_type (self, fields, g_ptr_array_index (entity->below, i));

      if (entity->members == NULL)
        continue;
      g_hash_table_iter_init (&members, entity->members);
      while (g_hash_table_iter_next (&members, NULL, &value))
        check_type (self, fields, ((Member *) value)->type);
    }
  fields->subject = NULL;
}

/**
 * qmp_features_parse:
 * @schema: the reply of `query-qmp-schema`
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_PROTOCOL when @schema is no schema.
 *
 * Returns: (transfer full): what that QEMU can do
 */
QmpFeatures *
qmp_features_parse (JsonNode  *schema,
                    GError   **error)
{
  g_autoptr (QmpFeatures) self = g_object_new (QMP_TYPE_FEATURES, NULL);
  QmpFields fields = { .command = "query-qmp-schema" };
  JsonArray *array;
  guint n;

  g_return_val_if_fail (schema != NULL, NULL);

  array = qmp_fields_reply_array (&fields, schema);
  n = array != NULL ? json_array_get_length (array) : 0;
  for (guint i = 0; i < n && fields.error == NULL; i++)
    {
      JsonObject *object = qmp_fields_element (&fields, array, i);

      if (object != NULL)
        read_entity (self, &fields, object);
    }
  if (fields.error == NULL)
    check_references (self, &fields);

  return qmp_fields_close (&fields, error) ? g_steal_pointer (&self) : NULL;
}

/* All entities that @start stands for without going down a member: types refer to themselves
 * through others, so each is visited once. */
static GHashTable *
spread (QmpFeatures *self,
        GPtrArray   *start)
{
  g_autoptr (GHashTable) found = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) left = g_ptr_array_copy (start, NULL, NULL);

  while (left->len > 0)
    {
      Entity *entity = g_ptr_array_steal_index_fast (left, left->len - 1);

      if (!g_hash_table_add (found, entity))
        continue;
      for (guint i = 0; i < entity->below->len; i++)
        g_ptr_array_add (left, g_hash_table_lookup (self->entities,
                                                    g_ptr_array_index (entity->below, i)));
    }

  return g_steal_pointer (&found);
}

static Entity *
find_command (QmpFeatures *self,
              const char  *command)
{
  Entity *entity = g_hash_table_lookup (self->entities, command);

  return entity != NULL && entity->kind == KIND_COMMAND ? entity : NULL;
}

/* What the last member of @path may be, by all ways that lead there; NULL when none does. The
 * flags of the members themselves go to @flag_found when one is @flag. */
static GHashTable *
follow (QmpFeatures *self,
        const char  *command,
        const char  *path,
        const char  *flag,
        gboolean    *flag_found)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  g_autoptr (GPtrArray) start = g_ptr_array_new ();
  g_autoptr (GHashTable) here = NULL;
  Entity *entity = find_command (self, command);

  if (entity == NULL)
    return NULL;

  g_ptr_array_add (start, entity);
  here = spread (self, start);
  for (guint i = 0; names[i] != NULL; i++)
    {
      GHashTableIter iter;
      gpointer key;

      g_ptr_array_set_size (start, 0);
      g_hash_table_iter_init (&iter, here);
      while (g_hash_table_iter_next (&iter, &key, NULL))
        {
          Member *member = NULL;

          entity = key;
          if (entity->members != NULL)
            member = g_hash_table_lookup (entity->members, names[i]);
          if (member == NULL)
            continue;

          g_ptr_array_add (start, g_hash_table_lookup (self->entities, member->type));
          if (flag != NULL && names[i + 1] == NULL && member->flags != NULL
              && g_hash_table_contains (member->flags, flag))
            *flag_found = TRUE;
        }
      if (start->len == 0)
        return NULL;

      g_hash_table_unref (here);
      here = spread (self, start);
    }

  return g_steal_pointer (&here);
}

/**
 * qmp_features_has_command:
 * @self: what a QEMU can do
 * @command: a command
 *
 * Returns: whether it has @command
 */
gboolean
qmp_features_has_command (QmpFeatures *self,
                          const char  *command)
{
  g_return_val_if_fail (QMP_IS_FEATURES (self), FALSE);
  g_return_val_if_fail (command != NULL, FALSE);

  return find_command (self, command) != NULL;
}

/**
 * qmp_features_has_event:
 * @self: what a QEMU can do
 * @event: an event
 *
 * Returns: whether it may send @event
 */
gboolean
qmp_features_has_event (QmpFeatures *self,
                        const char  *event)
{
  Entity *entity;

  g_return_val_if_fail (QMP_IS_FEATURES (self), FALSE);
  g_return_val_if_fail (event != NULL, FALSE);

  entity = g_hash_table_lookup (self->entities, event);
  return entity != NULL && entity->kind == KIND_EVENT;
}

/**
 * qmp_features_has_argument:
 * @self: what a QEMU can do
 * @command: a command
 * @path: member names below the command's arguments, separated by '/': "file/locking"
 *
 * Where a member may be one of several things (the drivers of `blockdev-add`), it is enough that
 * one of them goes on with the path.
 *
 * Returns: whether @command takes the argument
 */
gboolean
qmp_features_has_argument (QmpFeatures *self,
                           const char  *command,
                           const char  *path)
{
  g_autoptr (GHashTable) types = NULL;

  g_return_val_if_fail (QMP_IS_FEATURES (self), FALSE);
  g_return_val_if_fail (command != NULL && path != NULL, FALSE);

  types = path[0] != '\0' ? follow (self, command, path, NULL, NULL) : NULL;
  return types != NULL;
}

/**
 * qmp_features_has_value:
 * @self: what a QEMU can do
 * @command: a command
 * @path: as for qmp_features_has_argument()
 * @value: a value
 *
 * Returns: whether an enumeration that @path takes has @value
 */
gboolean
qmp_features_has_value (QmpFeatures *self,
                        const char  *command,
                        const char  *path,
                        const char  *value)
{
  g_autoptr (GHashTable) types = NULL;
  GHashTableIter iter;
  gpointer key;

  g_return_val_if_fail (QMP_IS_FEATURES (self), FALSE);
  g_return_val_if_fail (command != NULL && path != NULL && value != NULL, FALSE);

  types = follow (self, command, path, NULL, NULL);
  if (types == NULL)
    return FALSE;

  g_hash_table_iter_init (&iter, types);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      Entity *entity = key;

      if (entity->values != NULL && g_hash_table_contains (entity->values, value))
        return TRUE;
    }

  return FALSE;
}

/**
 * qmp_features_has_flag:
 * @self: what a QEMU can do
 * @command: a command
 * @path: (nullable): as for qmp_features_has_argument(); NULL for the command itself
 * @flag: what the schema calls a feature: "deprecated", "unstable", "allow-write-only-overlay"
 *
 * Returns: whether the command or argument, or a type that it takes, has @flag
 */
gboolean
qmp_features_has_flag (QmpFeatures *self,
                       const char  *command,
                       const char  *path,
                       const char  *flag)
{
  g_autoptr (GHashTable) types = NULL;
  gboolean found = FALSE;
  GHashTableIter iter;
  gpointer key;

  g_return_val_if_fail (QMP_IS_FEATURES (self), FALSE);
  g_return_val_if_fail (command != NULL && flag != NULL, FALSE);

  types = follow (self, command, path != NULL ? path : "", flag, &found);
  if (types == NULL)
    return FALSE;

  g_hash_table_iter_init (&iter, types);
  while (!found && g_hash_table_iter_next (&iter, &key, NULL))
    {
      Entity *entity = key;

      found = entity->flags != NULL && g_hash_table_contains (entity->flags, flag);
    }

  return found;
}
